// dashboard.js - fills the sections of the dashboard's page as the run goes on.
'use strict';

const RETRY_MS = 3000;
const sections = ['head', 'now', 'summary', 'charts', 'results'];
const byId = id => document.getElementById(id);
const stateLine = byId('state'), pauseButton = byId('pause'), stopButton = byId('stop');
const dialog = byId('confirm');
let ended = false;

// The address bar and the history need no secret: a cookie has it now.
if (location.search) {
  history.replaceState(null, '', location.pathname);
}

// New content, with tables scrolled to where they were.
function fill(id, html) {
  const section = byId(id);
  const scrolled = [...section.querySelectorAll('.scroll')].map(e => [e.scrollLeft, e.scrollTop]);
  section.innerHTML = html;
  section.querySelectorAll('.scroll').forEach((e, i) => {
    [e.scrollLeft, e.scrollTop] = scrolled[i] || [0, 0];
  });
}

function say(state, text) {
  stateLine.dataset.state = state;
  if (stateLine.textContent !== text) { // else screen readers say it again
    stateLine.textContent = text;
  }
  document.title = `${text.split(':')[0]} · ${document.querySelector('h1').textContent}`;
}

function showState({state, text, pause}) {
  ended = state === 'ended' || state === 'failed';
  const over = ended || state === 'stopping';
  say(state, text);
  pauseButton.textContent = pause ? 'Resume' : 'Pause';
  pauseButton.dataset.action = pause ? 'resume' : 'pause';
  pauseButton.disabled = stopButton.disabled = over;
  if (over) {
    dialog.close();
  }
}

function lose() {
  say('lost', 'No connection: trying again');
  pauseButton.disabled = stopButton.disabled = true;
}

function connect() {
  const source = new EventSource('events');
  source.addEventListener('state', e => showState(JSON.parse(e.data)));
  for (const id of sections) {
    source.addEventListener(id, e => fill(id, e.data));
  }
  source.onerror = () => { // the browser may try again, and gets everything anew
    if (ended) {
      source.close();
      return;
    }
    lose();
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(connect, RETRY_MS);
    }
  };
}

async function control(action) {
  try {
    const reply = await fetch(action, {method: 'POST', headers: {'X-Clfcn-Control': '1'}});
    if (!reply.ok) {
      throw new Error(await reply.text());
    }
  } catch (error) {
    say('lost', `Could not ${action}: ${error.message}`);
  }
}

pauseButton.addEventListener('click', () => control(pauseButton.dataset.action));
stopButton.addEventListener('click', () => dialog.showModal());
dialog.addEventListener('close', () => {
  if (dialog.returnValue === 'stop') {
    control('stop');
  }
  dialog.returnValue = '';
});
connect();
