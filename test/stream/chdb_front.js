// chdb_front.js PORT DIRECTORY [USER PASSWORD]: ClickHouse's HTTP interface over the engine of a
// new ClickHouse, which npm's chdb brings as a library without a server. Tables, settings,
// deduplication, errors and mutations are the engine's own. What a server adds to it is here, as far
// as streams use it, and made after ClickHouse's source and documentation:
//   - POST and GET of a query, in the URL or in the body; settings in the URL
//   - X-ClickHouse-User and X-ClickHouse-Key, or Basic; one user
//   - Content-Encoding gzip, deflate, br and zstd. A body that ends early, compressed or not, is an
//     error, and nothing of it is inserted, as since 23.3
//   - query_id: a second query with the id of one that runs is refused by code 216. The engine gives
//     its queries other ids, so ours travel in log_comment: system.processes is read through a
//     subquery that has them for query_id, which also makes KILL QUERY find them
//   - X-ClickHouse-Exception-Code, -Query-Id, -Summary, -Format; the status of an error by its code
// Answers are sent when the query has ended, whether or not wait_end_of_query was asked for.

'use strict';

const http = require('http');
const zlib = require('zlib');
const crypto = require('crypto');
const { createRequire } = require('module');
const path = require('path');

const [port, directory, user, password] = process.argv.slice(2);
const packages = createRequire(path.join(process.env.FI_STREAM_PACKAGES, 'package.json'));
const { Session } = packages('chdb');
const engine = packages('@chdb/lib-linux-x64-gnu');

// The engine lives as long as it has a connection.
const keeper = new Session(directory);
const running = new Set();

// Parameters of the URL that are no settings of the engine
const NO_SETTINGS = new Set(['query', 'query_id', 'database', 'default_format', 'wait_end_of_query', 'buffer_size', 'user',
	'password', 'quota_key', 'session_id', 'session_timeout', 'session_check', 'compress', 'decompress', 'stacktrace', 'role',
	'send_progress_in_http_headers', 'http_headers_progress_interval_ms', 'log_comment']);

class QueryError extends Error {
	constructor(code, name, text) {
		super(`Code: ${code}. DB::Exception: ${text}. (${name})`);
	}
}

// As exceptionCodeToHTTPStatus of ClickHouse's HTTPHandler
function statusOf(code) {
	if (code === 194) return 401;
	if ([497, 516, 192, 193].includes(code)) return 403;
	if ([6, 26, 27, 38, 41, 43, 53, 62, 72, 69, 117, 15, 386, 47, 16, 10, 130, 131].includes(code)) return 400;
	if ([60, 81, 46, 50, 71, 73, 115].includes(code)) return 404;
	if (code === 159) return 408;
	if (code === 223 || code === 396) return 413;
	if (code === 48) return 501;
	if (code === 209 || code === 203 || code === 202) return 503;
	return 500;
}

function readBody(request) {
	return new Promise((resolve, reject) => {
		const pieces = [];
		request.on('data', (piece) => pieces.push(piece));
		request.on('end', () => resolve(Buffer.concat(pieces)));
		request.on('aborted', () => reject(new QueryError(1000, 'POCO_EXCEPTION', 'Unexpected EOF while reading the body')));
		request.on('error', reject);
	});
}

function decompress(body, encoding) {
	const fail = (error) => {
		throw new QueryError(354, 'ZLIB_INFLATE_FAILED', `Cannot decompress the body: ${error.message}`);
	};

	try {
		switch (encoding || 'identity') {
			case 'identity': return body;
			case 'gzip':
			case 'deflate': return zlib.unzipSync(body);
			case 'br': return zlib.brotliDecompressSync(body);
			case 'zstd': return decompressZstd(body);
		}
	} catch (error) {
		fail(error);
	}
	throw new QueryError(48, 'NOT_IMPLEMENTED', `Unknown compression method: ${encoding}`);
}

// Node has zstd only from 22.15 on.
function decompressZstd(body) {
	if (zlib.zstdDecompressSync) return zlib.zstdDecompressSync(body);
	const { spawnSync } = require('child_process');
	const result = spawnSync('zstd', ['-dcq'], { input: body, maxBuffer: 1 << 30 });
	if (result.status !== 0) throw new Error(String(result.stderr));
	return result.stdout;
}

function checkUser(request) {
	if (!user) return;
	let name = request.headers['x-clickhouse-user'];
	let key = request.headers['x-clickhouse-key'] || '';
	const basic = /^Basic (.*)$/i.exec(request.headers.authorization || '');

	if (basic && (name !== undefined || key))
		throw new QueryError(516, 'AUTHENTICATION_FAILED', 'Invalid authentication: it is not allowed to use both Authorization HTTP header and X-ClickHouse headers');
	if (basic) [, name, key] = /^([^:]*):?(.*)$/s.exec(Buffer.from(basic[1], 'base64').toString());
	if ((name || 'default') !== user || key !== (password || ''))
		throw new QueryError(516, 'AUTHENTICATION_FAILED',
			`${name || 'default'}: Authentication failed: password is incorrect, or there is no user with such name`);
}

const quote = (text) => `'${String(text).replace(/[\\']/g, '\\$&')}'`;

// system.processes with the ids that clients gave
const PROCESSES = `(SELECT * REPLACE (if(Settings['log_comment'] = '', query_id, Settings['log_comment']) AS query_id) FROM system.processes)`;

function withOurIds(query) {
	if (/^\s*KILL\s+QUERY/i.test(query)) return query.replace(/\bquery_id\b/g, "Settings['log_comment']");
	if (/^\s*(SELECT|WITH)\b/i.test(query)) return query.replace(/\bsystem\.processes\b/g, PROCESSES);
	return query;
}

function engineError(error) {
	const text = error.message.replace(/^Query failed: /, '').trim();
	const code = /^Code: (\d+)/.exec(text);

	return { code: code ? Number(code[1]) : 1001, text: code ? text : `Code: 1001. DB::Exception: ${text}. (STD_EXCEPTION)` };
}

// One query over a connection of its own, which has the settings
async function runQuery(parameters, body, id) {
	const session = new Session(directory);

	try {
		session.query(`SET log_comment = ${quote(id)}`);
		if (parameters.get('database')) session.query(`USE ${parameters.get('database').replace(/[^A-Za-z0-9_]/g, '')}`);
		for (const [name, value] of parameters) {
			if (NO_SETTINGS.has(name) || name.startsWith('param_')) continue;
			session.query(`SET ${name.replace(/[^A-Za-z0-9_]/g, '')} = ${quote(value)}`);
		}

		let query = parameters.get('query') || '';

		if (/^\s*INSERT\b/i.test(query) && !/\b(SELECT|VALUES)\b/i.test(query)) {
			const result = await engine.InsertRawAsyncConnection(session.connection, query, body, false);
			return { output: Buffer.alloc(0), written_rows: result.rowsWritten, written_bytes: result.bytesWritten };
		}
		query = withOurIds(query + body.toString());
		const format = parameters.get('default_format') || 'TabSeparated';
		const result = await session.queryAsync(query, { format });
		return { output: Buffer.from(result.bytes()), read_rows: result.rowsRead, read_bytes: result.bytesRead };
	} finally {
		session.close();
	}
}

async function answer(request, response) {
	const url = new URL(request.url, 'http://localhost');
	const parameters = url.searchParams;
	const id = parameters.get('query_id') || crypto.randomUUID();
	let ours = false;

	if (url.pathname === '/ping') return response.end('Ok.\n');
	response.setHeader('X-ClickHouse-Query-Id', id);
	response.setHeader('Content-Type', 'text/tab-separated-values; charset=UTF-8');
	try {
		checkUser(request);
		// A server takes the id when it has the query, with the body still on its way.
		if (running.has(id))
			throw new QueryError(216, 'QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING', `Query with id = ${id} is already running`);
		running.add(id);
		ours = true;

		const body = decompress(await readBody(request), request.headers['content-encoding']);
		const begin = process.hrtime.bigint();
		const result = await runQuery(parameters, body, id);
		const summary = {};

		for (const name of ['read_rows', 'read_bytes', 'written_rows', 'written_bytes']) summary[name] = String(result[name] || 0);
		summary.elapsed_ns = String(process.hrtime.bigint() - begin);
		response.setHeader('X-ClickHouse-Summary', JSON.stringify(summary));
		response.setHeader('Content-Length', result.output.length);
		response.end(result.output);
	} catch (error) {
		const { code, text } = engineError(error);

		// What is left of the body is read, so that the connection can go on.
		request.resume();
		response.statusCode = statusOf(code);
		response.setHeader('X-ClickHouse-Exception-Code', code);
		response.setHeader('Content-Type', 'text/plain; charset=UTF-8');
		response.end(`${text} (version ${version} (official build))\n`);
	} finally {
		if (ours) running.delete(id);
	}
}

const version = keeper.query('SELECT version()', 'TabSeparated').trim();
const server = http.createServer((request, response) => {
	answer(request, response).catch((error) => {
		console.error(error);
		response.destroy();
	});
});

server.keepAliveTimeout = 10000;
server.requestTimeout = 0;
server.on('clientError', (error, socket) => socket.destroy());
server.listen(Number(port), '127.0.0.1', () => console.log(`ClickHouse ${version} answers at port ${port}`));
process.on('SIGTERM', () => {
	server.close();
	server.closeAllConnections();
	const wait = setInterval(() => {
		if (running.size) return;
		clearInterval(wait);
		keeper.close();
		process.exit(0);
	}, 20);
});
