import { useState } from 'react';
import type { Playthrough } from '../api/playthrough-types.js';
import { Library } from './library.js';
import { Reader } from './reader.js';
import { useAddress } from './use-address.js';

/** Two pages: the library, and one open playthrough. */
export function App() {
  const [open, setOpen] = useAddress();
  // Spares the first question after a start or a fork: the answer already held the whole playthrough.
  const [fresh, setFresh] = useState<Playthrough>();
  const enter = (playthrough: Playthrough): void => {
    setFresh(playthrough);
    setOpen(playthrough.id);
  };
  if (open === undefined) return <Library onEnter={enter} onOpen={setOpen} />;
  return <Reader key={open} id={open} given={fresh} onEnter={enter} onLibrary={() => setOpen(undefined)} onOpen={setOpen} />;
}
