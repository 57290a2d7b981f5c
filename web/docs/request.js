// The request that a form describes: sent from here, or as a line for a shell
const docsRequest = (() => {
  const MOST_SHOWN = 200_000; // characters of an answer

  // form: { path, method, inputs: [[parameter, input]], body, type }
  function read({ path, method, inputs, body, type }) {
    const query = new URLSearchParams();
    const headers = {};
    for (const [parameter, input] of inputs) {
      if (input.value === "") continue;
      if (parameter.in !== "query") headers[parameter.name] = input.value;
      else if (description.isMany(parameter)) new URLSearchParams(input.value).forEach((value, name) => query.append(name, value));
      else query.append(parameter.name, input.value);
    }
    if (body) headers["Content-Type"] = type.value;
    const search = String(query);
    return { url: path.slice(1) + (search ? `?${search}` : ""), method: method.toUpperCase(), headers, body: body?.value };
  }

  const quote = text => `'${text.replaceAll("'", "'\\''")}'`;

  // The key is not in it: a shell keeps what was typed
  function shellLine(form) {
    const { url, method, headers, body } = read(form);
    return [
      `curl ${method === "GET" ? "" : `-X ${method} `}${quote(new URL(url, location.href).href)}`,
      ...Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`),
      api.key() && '-H "Authorization: Bearer $KEY"',
      body !== undefined && `--data-binary ${quote(body)}`,
    ].filter(Boolean).join(" \\\n  ");
  }

  function shownText(text, contentType) {
    if (text.length > MOST_SHOWN) return `${text.slice(0, MOST_SHOWN)}\n… and ${text.length - MOST_SHOWN} more characters`;
    if (!contentType?.startsWith("application/json")) return text;
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }

  // { isGood, status, milliseconds, text }
  async function send(form) {
    const { url, method, headers, body } = read(form);
    const begin = performance.now();
    if (api.key()) headers.Authorization = `Bearer ${api.key()}`;
    try {
      const response = await fetch(url, { method, headers, body, cache: "no-store", credentials: "same-origin" });
      const text = await response.text();
      return {
        isGood: response.ok, status: `${response.status} ${response.statusText}`, milliseconds: Math.round(performance.now() - begin),
        text: shownText(text, response.headers.get("Content-Type")),
      };
    } catch (error) {
      return { isGood: false, status: "No answer", milliseconds: Math.round(performance.now() - begin), text: `${error.message}. Does the server run?` };
    }
  }

  return { shellLine, send };
})();
