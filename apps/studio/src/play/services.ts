import { createContext, useContext } from 'react';
import type { GraphqlClient } from '../api/graphql-client.js';
import type { TokenSource } from '../api/token.js';

export interface Services {
  readonly client: GraphqlClient;
  readonly tokens: TokenSource;
}

const Context = createContext<Services | undefined>(undefined);
export const ServicesProvider = Context.Provider;

export function useServices(): Services {
  const services = useContext(Context);
  if (services === undefined) throw new Error('useServices outside of ServicesProvider');
  return services;
}
