// peers.mjs DIRECTORY THREADS: DuckDB and the engine of ClickHouse with their data in DIRECTORY.
// Each line of standard input is "duckdb STATEMENT" or "clickhouse STATEMENT". What it returns is
// printed as psql does it with -A -t -F ' ' and \timing on: rows with a blank between their values,
// and "Time: N ms" after them. The first statement that fails ends the program.

import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [directory, threads] = process.argv.slice(2);
const packages = createRequire(join(process.env.FI_PEER_PACKAGES, 'package.json'));
const { DuckDBInstance } = packages('@duckdb/node-api');
const { Session } = packages('chdb');

const instance = await DuckDBInstance.create(join(directory, 'duckdb.db'), { threads });
const connection = await instance.connect();
const session = new Session(join(directory, 'clickhouse'));

session.query(`SET max_threads = ${Number(threads)}`);

const engines = {
	async duckdb(statement) {
		const result = await connection.runAndReadAll(statement);
		return result.getRowsJS().map((row) => row.join(' ')).join('\n');
	},
	clickhouse: (statement) => session.query(statement, 'TabSeparated').trimEnd().replaceAll('\t', ' '),
};

for await (const line of createInterface({ input: process.stdin })) {
	const [, name, statement] = /^(\S+) (.*)$/.exec(line);
	const begin = process.hrtime.bigint();
	const rows = await engines[name](statement);
	const milliseconds = Number(process.hrtime.bigint() - begin) / 1e6;

	process.stdout.write(`${rows}${rows && '\n'}Time: ${milliseconds.toFixed(3)} ms\n`);
}
session.close();
