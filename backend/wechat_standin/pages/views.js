// What the screens of the fake phone are built of.

/** An element: `make('p', { class: 'note' }, 'text', child)`. Handlers are given as functions: `{ click: … }`. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === 'function') element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** The face of a person: the first character of the nickname, in one of six colours. */
export function face(person, size = '') {
  const sum = [...person.id].reduce((total, letter) => total + letter.charCodeAt(0), 0);
  return make('span', { class: `face face-${sum % 6} ${size}`, 'aria-hidden': 'true' }, [...person.nickname][0] ?? '微');
}

export const aged = (person) => `${person.name}，${person.age} 岁`;

/** A row with a person; `choose` is called with it. */
export function personRow(person, choose, isLast) {
  return make('li', {}, make('button', { type: 'button', class: 'person', 'data-person': person.id, click: () => choose(person) },
    face(person),
    make('span', { class: 'names' }, make('b', {}, person.nickname), make('small', {}, aged(person))),
    isLast ? make('span', { class: 'tag' }, '上次') : null));
}

/** The form that makes a new person; `done` gets nickname and age. */
export function newPersonForm(done) {
  const nickname = make('input', { id: 'nickname', name: 'nickname', required: true, maxlength: '20', autocomplete: 'off' });
  const age = make('input', { id: 'age', name: 'age', type: 'number', min: '14', max: '120', value: '40', required: true });
  return make('details', { class: 'card' }, make('summary', {}, '新建一个人'),
    make('form', { submit: (event) => { event.preventDefault(); done(nickname.value.trim() || '微信用户', Number(age.value)); } },
      make('label', { for: 'nickname' }, '昵称'), nickname,
      make('label', { for: 'age' }, '年龄'), age,
      make('button', { class: 'main' }, '新建并使用')));
}

/** A subscribe message as WeChat's service notifications show it. */
export function messageCard(message, link) {
  return make('li', { class: 'card message' },
    make('p', { class: 'when' }, moment(message.at)),
    make('h3', {}, message.title),
    make('dl', {}, ...message.lines.flatMap((line) => [make('dt', {}, line.label), make('dd', {}, line.value)])),
    link ? make('a', { class: 'open', href: link }, '进入小程序查看') : null,
    !link && message.page ? make('p', { class: 'open' }, message.page) : null);
}

/** A template with what may still come, and the switch for it. */
export function templateRow(template, agree, refuse) {
  const { remaining } = template;
  const state = remaining === null ? '一直接收' : remaining > 0 ? `还能收 ${remaining} 条` : '没有同意';
  return make('li', { class: 'template' },
    make('span', { class: 'names' }, make('b', {}, template.title), make('small', {}, state)),
    make('span', { class: 'choices' },
      remaining === null ? null : make('button', { type: 'button', click: agree }, template.long_term ? '同意接收' : '同意接收一次'),
      remaining === 0 ? null : make('button', { type: 'button', class: 'quiet', click: refuse }, '不再接收')));
}

function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString('zh-CN', {
    timeZone: 'Asia/Shanghai', month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit',
  });
}
