// Apache Kafka itself, as Maven artifacts in the user's cache: fetched once, checked at every start.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const KAFKA_VERSION = '4.3.1';
const ARTIFACTS = [
  ['org.apache.kafka', 'kafka_2.13', KAFKA_VERSION],
  ['org.apache.kafka', 'kafka-tools', KAFKA_VERSION],
  ['org.slf4j', 'slf4j-simple', '1.7.36'],
];

/** What is missing to run brokers as processes of this machine, in words; undefined when nothing is. */
export async function missingForKafka() {
  const java = await javaVersion();
  if (java === undefined)
    return `Java is missing: brokers need a Java runtime, 17 or newer (https://adoptium.net), as \`java\` on the PATH`;
  if (java < 17) return `Java ${java} is too old: Kafka ${KAFKA_VERSION} needs 17 or newer (https://adoptium.net)`;
  if (installed() !== undefined || (await answers('mvn', ['-version']))) return undefined;
  return `Maven is missing: it fetches Kafka's files once (https://maven.apache.org/install.html), as \`mvn\` on the PATH`;
}

/**
 * The class path of Kafka and its tools; fetches them first (54 MB) where they are not there yet.
 * @param {(text: string) => void} say told what is going on
 */
export async function kafkaClassPath(say) {
  let folder = installed();
  if (folder === undefined) {
    const missing = await missingForKafka();
    if (missing !== undefined) throw new Error(missing);
    folder = await fetchOnce(say);
  }
  return path.join(folder, 'libs', '*');
}

function cacheFolder() {
  const home = os.homedir();
  if (process.env.XDG_CACHE_HOME) return path.join(process.env.XDG_CACHE_HOME, 'fabula');
  if (process.platform === 'darwin') return path.join(home, 'Library', 'Caches', 'fabula');
  if (process.platform === 'win32') return path.join(process.env.LOCALAPPDATA ?? path.join(home, 'AppData', 'Local'), 'fabula');
  return path.join(home, '.cache', 'fabula');
}

const finalFolder = () => path.join(cacheFolder(), `kafka-${KAFKA_VERSION}`);

/** The folder, if every file of its stamp is there in its full size. */
function installed() {
  const folder = finalFolder();
  let stamp;
  try {
    stamp = JSON.parse(fs.readFileSync(path.join(folder, 'stamp.json'), 'utf8'));
  } catch {
    // Not fetched yet, or not to its end: it is fetched (again).
    return undefined;
  }
  const whole = stamp.every(([name, size]) => fs.statSync(path.join(folder, 'libs', name), { throwIfNoEntry: false })?.size === size);
  return whole ? folder : undefined;
}

/** Into a folder of its own that is renamed when it is whole, so that several may fetch at once. */
async function fetchOnce(say) {
  fs.mkdirSync(cacheFolder(), { recursive: true });
  const folder = fs.mkdtempSync(path.join(cacheFolder(), `fetching-${process.pid}-`));
  try {
    fs.writeFileSync(path.join(folder, 'pom.xml'), pom());
    say(`fetching Apache Kafka ${KAFKA_VERSION} with Maven (once; 54 MB)`);
    let fetched = 0;
    const onLine = (line) => {
      if (/Downloaded from \S+: \S+\.jar /.test(line) && ++fetched % 20 === 0) say(`fetched ${fetched} files so far`);
    };
    await run('mvn', ['-B', 'dependency:copy-dependencies', '-DoutputDirectory=libs'], { cwd: folder, onLine });
    const libs = path.join(folder, 'libs');
    const stamp = fs.readdirSync(libs).map((name) => [name, fs.statSync(path.join(libs, name)).size]);
    fs.writeFileSync(path.join(folder, 'stamp.json'), JSON.stringify(stamp));
    if (installed() === undefined) {
      fs.rmSync(finalFolder(), { recursive: true, force: true });
      fs.renameSync(folder, finalFolder());
    }
    return finalFolder();
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function pom() {
  const dependencies = ARTIFACTS.map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`,
  );
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>fabula</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>${dependencies.join('\n    ')}</dependencies>
</project>
`;
}

/** Runs a program to its end. @throws with its last words when it fails. */
export async function run(command, args, { cwd, onLine } = {}) {
  const shell = process.platform === 'win32' && command !== 'java';
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], shell });
  let output = '';
  let rest = '';
  const keep = (data) => {
    output = (output + data).slice(-8_000);
    const lines = (rest + data).split('\n');
    rest = lines.pop();
    if (onLine !== undefined) lines.forEach(onLine);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  if (code !== 0) throw new Error(`${command} ${args[0]} ended with ${code}:\n${output}`);
  return output;
}

async function answers(command, args) {
  try {
    return (await run(command, args)) !== undefined;
  } catch {
    // Not there, or it does not work: the same to us.
    return false;
  }
}

async function javaVersion() {
  try {
    const major = /version "(?:1\.)?(\d+)/.exec(await run('java', ['-version']));
    return major === null ? undefined : Number(major[1]);
  } catch {
    // No java on the PATH.
    return undefined;
  }
}
