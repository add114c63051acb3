// REST calls with the CSRF token; errors carry the server's own sentence.

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const csrfToken = () => document.querySelector("meta[name=csrf-token]")?.content ?? "";

/** Call the API. Returns the parsed JSON body, or null for an empty one; throws ApiError. */
export async function api(path, { method = "GET", body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  let payload = body;
  if (body !== undefined && !(body instanceof FormData)) {
    headers["Content-Type"] = "application/json";
    payload = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, { method, headers, body: payload, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer. Nothing was sent; try again.");
  }
  const text = await response.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    // An HTML error page: the status is all that is known.
  }
  if (!response.ok) {
    throw new ApiError(
      response.status,
      data?.code ?? "error",
      data?.detail ?? `The server answered ${response.status}.`,
    );
  }
  return data;
}
