// The requests of the page to the fleet, and the events that the fleet sends.

// The token is in the fragment of the address that the fleet printed: no browser sends it. It is kept for this tab.
const fragment = new URLSearchParams(location.hash.slice(1)).get("token");
if (fragment !== null) {
  history.replaceState(null, "", location.pathname);
  sessionStorage.setItem("token", fragment);
}
const token = sessionStorage.getItem("token") ?? "";

// Whether the fleet lives and takes orders from this page, as it says itself.
let live = false;
let owner = false;
export const canAct = () => live && owner;
export const hasToken = () => token !== "";
export function setLive(is, isOwner = owner) {
  [live, owner] = [is, isOwner];
}

const headers = (more = {}) => (token ? { Authorization: `Bearer ${token}`, ...more } : more);

// Asks for something; its answer, or an error that says why not.
export async function ask(method, path, body) {
  const more = body === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method, headers: headers(more), body: body && JSON.stringify(body) });
  } catch {
    throw new Error("the fleet does not respond");
  }
  const text = await response.text();
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    answer = { error: text };
  }
  if (!response.ok) throw new Error(answer.error ?? `the fleet answers ${response.status}`);
  return answer;
}

export const act = (action, backend) => ask("POST", `v1/fleet/${action}${backend ? `?backends=${encodeURIComponent(backend)}` : ""}`);
export const fault = (backend, fault) => ask("POST", `v1/fleet/fault?backends=${encodeURIComponent(backend)}&fault=${encodeURIComponent(fault)}`);

// What happens, event by event, for as long as the connection lasts.
export async function* events() {
  const response = await fetch("v1/live", { headers: headers(), cache: "no-store" });
  if (response.status === 401) throw new Error("not permitted without the token: open the address that the fleet printed");
  if (!response.ok) throw new Error(`the fleet answers ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const [event, data] = part.split("\n");
      yield { name: event.slice("event: ".length), content: JSON.parse(data.slice("data: ".length)) };
    }
  }
}
