// Asks the server. An error is said in words: what happened, and what to do about it.
const api = (() => {
  const STORE = "fast_ingest.key";
  const TIMEOUT = 60_000;

  class ApiError extends Error {
    // retryAfter: seconds that the server asked to wait
    constructor(status, title, advice, detail, retryAfter = 0) {
      super(title);
      Object.assign(this, { status, advice, detail, retryAfter });
    }
  }

  // The key lives as long as the tab
  const key = () => sessionStorage.getItem(STORE) ?? "";

  function setKey(value) {
    if (value) sessionStorage.setItem(STORE, value);
    else sessionStorage.removeItem(STORE);
  }

  // A shared link has the key in its fragment, which browsers do not send. It leaves the address at
  // once, so that nobody reads it there. Returns whether there was one.
  function takeKeyFromAddress() {
    const given = new URLSearchParams(location.hash.slice(1)).get("key");
    if (given === null) return false;
    setKey(given.trim());
    history.replaceState(null, "", location.pathname + location.search);
    return true;
  }

  // "metrics?site=a&from=1": pairs without a value are left out
  function path(name, pairs) {
    const query = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([parameter, value]) => `${state.encode(parameter)}=${state.encode(String(value))}`).join("&");
    return query ? `${name}?${query}` : name;
  }

  // The pairs of filters, as the API takes them
  function filterPairs(filters) {
    return Object.entries(filters).map(([name, values]) => [name, state.joinValues(values)]);
  }

  const ADVICE = {
    400: ["The server does not take this question", "Change the filters or the range, or reset the view."],
    401: ["This server asks for an API key", "Give a key with the scope read."],
    403: ["The key does not allow this", "Choose a website that the key is for, or give another key."],
    404: ["The server does not know this address", "Is something between the browser and fast_ingest that changes addresses?"],
    422: ["The rows that this question needs are gone", "Raw events of that time were dropped. Ask for whole days, or take filters away."],
    429: ["Too many requests", "Ask less often, or raise the rate limit of the key."],
    500: ["The server made a mistake", "Its log says more."],
    503: ["The server is busy or not ready", "Settings that matter: fast_ingest.query_workers, fast_ingest.query_timeout."],
  };

  async function errorOf(response) {
    let detail = "";
    try {
      detail = (await response.json()).error ?? "";
    } catch {
      // A proxy's page, or nothing
    }
    const [title, advice] = ADVICE[response.status] ?? [`The server answered ${response.status}`, ""];
    return new ApiError(response.status, title, advice, detail, Number(response.headers.get("Retry-After")) || 0);
  }

  // The answer as a Response that is good, or an ApiError, or an AbortError
  async function request(address, { signal, method = "GET", body } = {}) {
    const headers = {};
    // The browser would refuse to send it
    if (/[^\x20-\x7e]/.test(key())) throw new ApiError(401, ADVICE[401][0], ADVICE[401][1], "the key has characters that no key has");
    if (key()) headers.Authorization = `Bearer ${key()}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const limit = AbortSignal.timeout(TIMEOUT);
    let response;
    try {
      response = await fetch(address, {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store", credentials: "same-origin",
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(0, "The server does not answer", "Does PostgreSQL run, and does this address reach it?", "");
    }
    if (!response.ok) throw await errorOf(response);
    return response;
  }

  async function parsed(response, signal) {
    try {
      return await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(0, "The server's answer broke off", "Ask again.", "");
    }
  }

  const get = async (address, options = {}) => parsed(await request(address, options), options.signal);
  const post = async (address, body, options = {}) => parsed(await request(address, { ...options, method: "POST", body }), options.signal);

  // A link to a file. Where a key is needed the link would have none: then the file is fetched, and
  // handed to the browser.
  function fileLink(address, fileName, attributes, ...children) {
    const link = dom.el("a", { href: address, download: fileName, ...attributes }, ...children);
    link.addEventListener("click", async event => {
      if (!key()) return;
      event.preventDefault();
      try {
        const url = URL.createObjectURL(await (await request(address)).blob());
        dom.el("a", { href: url, download: fileName }).click();
        setTimeout(() => URL.revokeObjectURL(url), 10_000);
      } catch (error) {
        notice.error(error);
      }
    });
    return link;
  }

  return { ApiError, get, post, path, filterPairs, fileLink, key, setKey, takeKeyFromAddress };
})();
