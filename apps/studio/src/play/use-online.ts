import { useSyncExternalStore } from 'react';

const subscribe = (changed: () => void): (() => void) => {
  window.addEventListener('online', changed);
  window.addEventListener('offline', changed);
  return () => {
    window.removeEventListener('online', changed);
    window.removeEventListener('offline', changed);
  };
};

/** What the browser thinks of its connection: false is certain, true only likely. */
export const useOnline = (): boolean => useSyncExternalStore(subscribe, () => navigator.onLine);
