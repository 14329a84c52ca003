// What the fake phone asks of the stand-in, and what it remembers in this browser.

async function call(method, path, body) {
  const response = await fetch(`/standin/${path}`, {
    method,
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.status === 204) return null;
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

const person = (id) => `users/${encodeURIComponent(id)}`;

export const about = () => call('GET', '');
export const people = async () => (await call('GET', 'users')).users;
export const makePerson = (nickname, age) => call('POST', 'users', { nickname, name: nickname, age });
export const loginCode = async (id) => (await call('POST', `${person(id)}/login-codes`)).code;
export const messages = async (id) => (await call('GET', `${person(id)}/messages`)).messages;
export const clearMessages = (id) => call('DELETE', `${person(id)}/messages`);
export const subscriptions = async (id) => (await call('GET', `${person(id)}/subscriptions`)).subscriptions;
export const agree = async (id, template) =>
  (await call('POST', `${person(id)}/subscriptions/${encodeURIComponent(template)}`)).subscriptions;
export const refuse = async (id, template) =>
  (await call('DELETE', `${person(id)}/subscriptions/${encodeURIComponent(template)}`)).subscriptions;

export async function readPicture(file) {
  const response = await fetch('/standin/scan', { method: 'POST', body: await asPixels(file) });
  const answer = response.headers.get('Content-Type')?.startsWith('application/json') ? await response.json() : {};
  if (!response.ok) throw new Error('这个文件不是能看懂的图片，请换一张（PNG、JPEG、WebP）。');
  return answer.texts;
}

// Our own QR codes are SVG, which only a browser can turn into pixels.
async function asPixels(file) {
  if (file.type !== 'image/svg+xml') return file;
  const address = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = 800;
    canvas.height = 800;
    canvas.getContext('2d').drawImage(image, 0, 0, 800, 800);
    return await new Promise((resolve) => { canvas.toBlob(resolve, 'image/png'); });
  } finally {
    URL.revokeObjectURL(address);
  }
}

// --- memory: who was here last, where the mini-program is, what was read --------------------

export function remember(key, value) {
  if (value === null) localStorage.removeItem(key);
  else localStorage.setItem(key, value);
}
export const recall = (key) => localStorage.getItem(key);

// --- addresses ------------------------------------------------------------------------------

/** The URL that `text` is, if it is one that may be opened. */
export function webAddress(text) {
  try {
    const address = new URL(text.trim());
    return address.protocol === 'http:' || address.protocol === 'https:' ? address : null;
  } catch {
    return null;
  }
}

/** `address` with the code in its query, before any hash. */
export function withCode(address, code) {
  const goal = new URL(address);
  goal.searchParams.set('code', code);
  return goal.href;
}
