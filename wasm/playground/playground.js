// Shows what a real KeyedMutex does. A task is shown as waiting until the promise of its `lock` is
// settled, and as the holder from then until it releases: nothing here decides about turns.

import init, { KeyedMutex } from "./pkg/lockcore_wasm.js";

const LOG_LENGTH = 200;
const HOLD_MILLISECONDS = 1000;

const element = (id) => document.getElementById(id);

/** Tasks that wait or hold, in the order in which they called `lock`. */
const tasks = new Set();
let mutex;
let lastTask = 0;

function newTask(id) {
  lastTask += 1;
  return { name: `task ${lastTask}`, id, guard: undefined, cancel: new AbortController() };
}

function run(id) {
  const task = newTask(id);
  const request = mutex.lock(id, { signal: task.cancel.signal });
  tasks.add(task);
  log("locks", task, ahead(mutex.waiting(id)));
  render();
  request.then((guard) => hold(task, guard), (reason) => leave(task, reason));
}

function tryOnce(id) {
  const task = newTask(id);
  const guard = mutex.tryLock(id);
  if (guard) {
    tasks.add(task);
    hold(task, guard);
  } else {
    log("tries", task, ": it is in use");
    render();
  }
}

function hold(task, guard) {
  task.guard = guard;
  log("holds", task, ` with token ${guard.token}`);
  if (element("auto").checked) setTimeout(release, HOLD_MILLISECONDS, task);
  render();
}

function leave(task, reason) {
  tasks.delete(task);
  log("leaves", task, `: ${reason.name}`);
  render();
}

function release(task) {
  if (!tasks.delete(task)) return;
  task.guard.release();
  log("releases", task, `, token ${task.guard.token}`);
  render();
}

function ahead(waiting) {
  return waiting === 0 ? ": nobody is ahead" : `: place ${waiting} in the queue`;
}

function log(verb, task, rest) {
  const line = document.createElement("li");
  line.dataset.verb = verb;
  line.append(strong(task.name), ` ${verb} `, code(task.id), rest);
  element("log").prepend(line);
  while (element("log").children.length > LOG_LENGTH) element("log").lastChild.remove();
}

function render() {
  const focus = document.activeElement ?? document.body;
  const ids = Map.groupBy(tasks, (task) => task.id);
  element("ids").replaceChildren(...[...ids].map(([id, users]) => card(id, users)));
  element("size").value = mutex.size;
  element("empty").hidden = ids.size > 0;
  refocus(focus);
}

/** Moves the focus from a button that was replaced to its successor, or to the id's first. */
function refocus({ dataset: { task, of } }) {
  if (!task) return;
  const buttons = [...document.querySelectorAll("#ids button")];
  const same = buttons.find((button) => button.dataset.task === task);
  (same ?? buttons.find((button) => button.dataset.of === of) ?? element("id")).focus();
}

function card(id, users) {
  const card = element("id-card").content.cloneNode(true);
  card.querySelector("article").dataset.id = id;
  card.querySelector("h3").textContent = id === "" ? "(empty id)" : id;
  card.querySelector(".count").textContent =
    `${mutex.isLocked(id) ? "locked" : "free"}, ${mutex.waiting(id)} waiting`;
  const holders = users.filter((task) => task.guard);
  const waiters = users.filter((task) => !task.guard);
  card.querySelector(".holder").append(...holders.map(holder));
  card.querySelector(".queue").append(...waiters.map(waiter));
  return card;
}

function holder(task) {
  const line = document.createElement("p");
  line.append(strong(task.name), ` holds, token `, code(String(task.guard.token)));
  line.append(button(task, "Release", () => release(task)));
  return line;
}

function waiter(task) {
  const line = document.createElement("li");
  line.append(strong(task.name), button(task, "Cancel", () => task.cancel.abort()));
  return line;
}

function button(task, text, onClick) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  Object.assign(button.dataset, { task: task.name, of: task.id });
  button.setAttribute("aria-label", `${text} ${task.name}`);
  button.addEventListener("click", onClick);
  return button;
}

function strong(text) {
  return Object.assign(document.createElement("strong"), { textContent: text });
}

function code(text) {
  return Object.assign(document.createElement("code"), { textContent: text });
}

function fail(error) {
  element("failure").textContent = `The playground does not work: ${error}`;
  element("failure").hidden = false;
}

function listen() {
  element("add").addEventListener("submit", (event) => {
    event.preventDefault();
    const count = Number(event.submitter?.value ?? 1);
    for (let i = 0; i < count; i++) run(element("id").value);
  });
  element("try").addEventListener("click", () => tryOnce(element("id").value));
  element("auto").addEventListener("change", (event) => {
    if (!event.target.checked) return;
    for (const task of tasks) if (task.guard) setTimeout(release, HOLD_MILLISECONDS, task);
  });
}

try {
  await init();
  mutex = new KeyedMutex();
  listen();
  document.documentElement.dataset.ready = "";
} catch (error) {
  fail(error);
}
