// A real OpenID provider (`oidc-provider`) on loopback, for tests: `node identity-provider-process.mjs '{"port", "keys", "roles"}'`. It prints
// `ready`, then a line for each request.
import { Provider } from 'oidc-provider';

const { port, keys, roles } = JSON.parse(process.argv[2]);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  clients: [
    {
      client_id: 'a-service',
      client_secret: 'known to the test',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'client_secret_post',
      id_token_signed_response_alg: keys[0].alg,
    },
  ],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:fabula',
      getResourceServerInfo: () => ({
        scope: '',
        audience: 'fabula',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 3600,
        jwt: { sign: { alg: keys[0].alg } },
      }),
    },
  },
  extraTokenClaims: () => ({ roles }),
});
provider.use(async (context, next) => {
  process.stdout.write(`${context.method} ${context.path}\n`);
  await next();
});
provider.listen(port, '127.0.0.1', () => process.stdout.write('ready\n'));
