/** The part of extwee (a test oracle without types of its own) that is used. */
declare module 'extwee' {
  export function parseTwee(source: string): {
    readonly passages: readonly { readonly name: string; readonly text: string; readonly tags: readonly string[] }[];
    /** Bodies of all passages tagged `script`, joined. */
    readonly storyJavaScript: string;
    readonly storyStylesheet: string;
  };
}
