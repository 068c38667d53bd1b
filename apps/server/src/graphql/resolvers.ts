import { LibraryResolver } from './library.resolver.js';
import { PlayResolver } from './play.resolver.js';

export const resolvers = [PlayResolver, LibraryResolver];
