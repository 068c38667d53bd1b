import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { graphqlClient } from '../api/graphql-client.js';
import { browserTokens } from '../api/token.js';
import { App } from './app.js';
import { ServicesProvider, type Services } from './services.js';
import { newUuid } from './uuid.js';
import './styles/base.css';
import './styles/notices.css';
import './styles/library.css';
import './styles/passage.css';
import './styles/panels.css';

const fetchHere: typeof fetch = (input, init) => fetch(input, init);
const tokens = browserTokens({ fetch: fetchHere, local: localStorage, session: sessionStorage, now: Date.now, newName: newUuid });
const services: Services = { tokens, client: graphqlClient({ fetch: fetchHere, tokens, now: Date.now }) };

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <ServicesProvider value={services}>
      <App />
    </ServicesProvider>
  </StrictMode>,
);
