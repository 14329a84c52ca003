// The fake phone: one page, three tabs; `?return=<address>` asks for a log-in.
import * as wires from './wires.js';
import { aged, face, make, messageCard, newPersonForm, personRow, templateRow } from './views.js';

const POLL_MS = 2000;
const view = document.getElementById('view');
const status = document.getElementById('status');
const asked = new URLSearchParams(location.search).get('return');
const goal = asked === null ? null : wires.webAddress(asked);

let me = null; // whose phone this is
let app = null; // where the mini-program's H5 is
let shown = 0; // counts drawings, so that a slow answer does not overwrite a later screen

function say(text) {
  status.textContent = text;
}

function draw(title, ...children) {
  shown += 1;
  document.getElementById('title').textContent = title;
  view.replaceChildren(...children.filter((child) => child !== null));
  return shown;
}

function become(person) {
  me = person;
  wires.remember('person', person.id);
}

// --- me, and logging in ---------------------------------------------------------------------

async function logIn(person) {
  become(person);
  say('正在登录…');
  const code = await wires.loginCode(person.id);
  location.replace(wires.withCode(goal, code));
}

function request() {
  return make('div', { class: 'card request' },
    make('p', { class: 'asks' }, make('b', {}, goal.host), ' 想知道您是谁'),
    make('p', { class: 'address' }, `登录后回到 ${goal.origin}${goal.pathname}`));
}

async function choosePerson() {
  const people = await wires.people();
  const choose = goal ? logIn : (person) => { become(person); show(); };
  draw(goal ? '登录' : '选一个人',
    goal ? request() : make('p', { class: 'note' }, '这部假手机是谁的？这些人都是虚构的。'),
    make('h2', {}, goal ? '用谁的微信登录' : '现有的人'),
    make('ul', { class: 'people' }, ...people.map((person) => personRow(person, attempt(choose), person.id === me?.id))),
    newPersonForm(attempt(async (nickname, age) => choose(await wires.makePerson(nickname, age)))));
}

function showLogin() {
  draw('登录', request(),
    make('div', { class: 'card whoami' }, face(me, 'big'), make('p', {}, make('b', {}, me.nickname)), make('p', { class: 'note' }, aged(me)),
      make('button', { type: 'button', class: 'main', id: 'log-in', click: attempt(() => logIn(me)) }, `以“${me.nickname}”登录`),
      make('button', { type: 'button', class: 'link', id: 'switch', click: attempt(choosePerson) }, '换一个人'),
      make('a', { class: 'link', href: goal.href }, '不登录，回去')));
}

function showMe() {
  draw('我',
    make('div', { class: 'card whoami' }, face(me, 'big'), make('p', {}, make('b', {}, me.nickname)), make('p', { class: 'note' }, aged(me)),
      make('dl', {}, make('dt', {}, '手机号'), make('dd', {}, me.phone_number), make('dt', {}, 'openid'), make('dd', {}, make('code', {}, me.openid))),
      app ? make('a', { class: 'main', href: app }, '打开“办事”') : null,
      make('button', { type: 'button', class: 'link', id: 'switch', click: attempt(choosePerson) }, '换一个人')));
}

// --- scan -----------------------------------------------------------------------------------

function showScan() {
  const text = make('textarea', { id: 'link', rows: '3', placeholder: 'https://…', autocomplete: 'off', spellcheck: 'false' });
  const found = make('div', { id: 'found', 'aria-live': 'polite' });
  const tell = (texts) => found.replaceChildren(...(texts.length ? texts.map(scanned) : [make('p', { class: 'card note' }, '图片里没有找到二维码。')]));
  const picture = make('input', {
    type: 'file', id: 'picture', accept: 'image/*',
    change: attempt(async () => {
      if (!picture.files.length) return;
      say('正在看图片…');
      tell(await wires.readPicture(picture.files[0]));
      picture.value = '';
      say('');
    }),
  });
  draw('扫一扫',
    make('label', { class: 'card pick', for: 'picture' }, make('b', {}, '选一张二维码图片'), make('small', {}, '截图、照片、下载的二维码都可以'), picture),
    make('form', { class: 'card', submit: (event) => { event.preventDefault(); if (text.value.trim()) tell([text.value.trim()]); } },
      make('label', { for: 'link' }, '或者粘贴二维码里的内容'), text, make('button', { class: 'main' }, '识别')),
    found);
}

function scanned(text) {
  const address = wires.webAddress(text);
  return make('div', { class: 'card result' },
    make('p', { class: 'kind' }, address ? `网页链接 · ${address.host}` : '文字'),
    make('p', { class: 'text' }, text),
    address ? make('a', { class: 'main', href: address.href }, '在手机上打开') : null);
}

// --- inbox ----------------------------------------------------------------------------------

function pageLink(page) {
  return app && page ? `${app}#/${page.replace(/^\/+/, '')}` : null;
}

async function showInbox() {
  const owner = me;
  const [messages, templates] = await Promise.all([wires.messages(owner.id), wires.subscriptions(owner.id)]);
  if (owner !== me || tab() !== 'inbox') return;
  const change = (how, template) => attempt(async () => { await how(owner.id, template.id); await showInbox(); });
  draw(`${me.nickname} 的消息`,
    messages.length ? null : make('p', { class: 'empty' }, '还没有消息。办件有进展时，服务通知会出现在这里。'),
    make('ul', { class: 'messages' }, ...messages.map((message) => messageCard(message, pageLink(message.page)))),
    messages.length ? make('button', { type: 'button', class: 'link', click: attempt(async () => { await wires.clearMessages(owner.id); await showInbox(); }) }, '清空消息') : null,
    make('h2', {}, '接收哪些通知'),
    make('ul', { class: 'card templates' }, ...templates.map((template) =>
      templateRow(template, change(wires.agree, template), change(wires.refuse, template)))));
  drawn = key(messages);
  wires.remember(`read:${owner.id}`, String(messages[0]?.id ?? 0));
  document.getElementById('unread').hidden = true;
}

let drawn = '';
const key = (messages) => messages.map((message) => message.id).join();

async function look() {
  if (me === null || document.hidden) return;
  const owner = me;
  const messages = await wires.messages(owner.id).catch(() => null); // the stand-in restarts: next time
  if (messages === null || owner !== me) return;
  if (tab() === 'inbox') {
    if (key(messages) !== drawn) await showInbox();
    return;
  }
  const read = Number(wires.recall(`read:${owner.id}`) ?? 0);
  const fresh = messages.filter((message) => message.id > read).length;
  const badge = document.getElementById('unread');
  badge.textContent = String(fresh);
  badge.hidden = fresh === 0;
}

// --- the whole ------------------------------------------------------------------------------

const tab = () => (['scan', 'inbox'].includes(location.hash.slice(1)) ? location.hash.slice(1) : 'me');

async function show() {
  say('');
  for (const link of document.querySelectorAll('#tabs a')) {
    if (link.dataset.tab === tab()) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (tab() === 'scan') showScan();
  else if (me === null) await choosePerson();
  else if (tab() === 'inbox') await showInbox();
  else if (goal) showLogin();
  else showMe();
}

/** `work`, with whatever goes wrong told on the screen. */
function attempt(work) {
  return async (...given) => {
    try {
      await work(...given);
    } catch (error) {
      say(error instanceof TypeError ? '连不上微信替身，请看它是否在运行。' : error.message);
    }
  };
}

attempt(async () => {
  if (asked !== null && goal === null) {
    draw('不能登录', make('p', { class: 'card note' }, '要求登录的地址不是网页地址，假手机不会把登录码交给它。'));
    return;
  }
  const [facts, people] = await Promise.all([wires.about(), wires.people()]);
  if (goal) wires.remember('app', `${goal.origin}${goal.pathname}`);
  app = facts.app_url ?? wires.recall('app');
  me = people.find((person) => person.id === wires.recall('person')) ?? null;
  window.addEventListener('hashchange', attempt(show));
  await show();
  setInterval(look, POLL_MS);
  await look();
})();
