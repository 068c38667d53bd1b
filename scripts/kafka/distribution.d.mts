export const KAFKA_VERSION: string;

/** What is missing to run brokers as processes of this machine, in words; undefined when nothing is. */
export function missingForKafka(): Promise<string | undefined>;

/** The class path of Kafka and its tools; fetches them first (54 MB) where they are not there yet. */
export function kafkaClassPath(say: (text: string) => void): Promise<string>;

/** Runs a program to its end. @throws with its last words when it fails. */
export function run(
  command: string,
  args: readonly string[],
  options?: { readonly cwd?: string; readonly onLine?: (line: string) => void },
): Promise<string>;
