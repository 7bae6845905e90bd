// The status page: polls the coordinator every two seconds and updates the page in place, so that the scroll position,
// the focus, and the selection stay. Data from files and peers is inserted as text only.
'use strict';

(() => {
  const kEvery = 2000;        // between the end of a round and the next one
  const kTimeout = 5000;      // per request
  const kPauseMax = 15000;    // between failed rounds
  const kStaleAfter = 8000;   // the page shows its age from then on
  const kSilentAfter = 25000; // workers report their state at least every 10 s
  const kEndedShown = 5, kFailuresShown = 6, kWorkersShown = 12, kOpenShown = 20;

  const byId = (id) => document.getElementById(id);

  // ---- Values: missing values and wrong types are harmless.

  const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);
  const count = (value) => (isNumber(value) && value > 0 ? value : 0);
  const isObject = (value) => value !== null && typeof value === 'object';
  const object = (value) => (isObject(value) ? value : {});
  const list = (value) => (Array.isArray(value) ? value.filter(isObject) : []);
  const sum = (entries, of) => entries.reduce((total, entry) => total + of(entry), 0);

  // Control characters, invisible characters, and those that change the text direction are shown as escapes.
  const kHidden = new RegExp('[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e' +
    '\\u2060-\\u206f\\ufe00-\\ufe0f\\ufeff\\ufff9-\\ufffb]', 'g');
  const kShort = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
  function printable(value) {
    if (typeof value !== 'string') return isNumber(value) ? String(value) : '';
    return value.replace(kHidden, (c) => {
      const code = c.charCodeAt(0);
      return kShort[c] || (code < 256 ? '\\x' + code.toString(16).padStart(2, '0')
                                      : '\\u' + code.toString(16).padStart(4, '0'));
    });
  }

  // ---- Words and figures

  const kThin = '\u202f', kSpace = '\u00a0';  // non-breaking spaces
  const kNothing = '\u2013';

  function grouped(digits) { return digits.replace(/\B(?=(\d{3})+$)/g, kThin); }
  function number(value) { return grouped(String(Math.round(count(value)))); }
  function counted(value, one, many) { return number(value) + ' ' + (count(value) === 1 ? one : many); }
  const instances = (value) => counted(value, 'instance', 'instances');
  const studies = (value) => counted(value, 'study', 'studies');

  function figure(value) {
    return value === 0 ? '0' : value < 99.95 ? value.toFixed(1) : grouped(String(Math.round(value)));
  }

  // The same format as on dicom-sender's console.
  function bytes(value) {
    let left = count(value);
    if (left < 1024) return Math.round(left) + kSpace + 'B';
    const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
    let unit = 0;
    for (left /= 1024; left >= 1023.95 && unit + 1 < units.length; ++unit) left /= 1024;
    return left.toFixed(1) + kSpace + units[unit];
  }

  const kDays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  const two = (value) => String(value).padStart(2, '0');

  function duration(milliseconds) {
    const seconds = Math.round(Math.max(0, milliseconds) / 1000);
    const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
    const text = seconds < 60 ? seconds + ' s'
      : minutes < 60 ? minutes + ' min ' + two(seconds % 60) + ' s'
      : hours < 48 ? hours + ' h ' + two(minutes % 60) + ' min'
      : number(Math.floor(hours / 24)) + ' d ' + (hours % 24) + ' h';
    return text.replace(/ /g, kSpace);
  }

  // In the browser's time zone. Adds the day if it is not today: the weekday within the next days, or else the date.
  function clock(ms, withSeconds) {
    const time = new Date(ms);
    if (!isNumber(ms) || Number.isNaN(time.getTime())) return kNothing;
    const text = two(time.getHours()) + ':' + two(time.getMinutes()) +
      (withSeconds ? ':' + two(time.getSeconds()) : '');
    if (time.toDateString() === new Date(now()).toDateString()) return text;
    const days = (ms - now()) / 86400000;
    if (days > 0 && days < 6) return kDays[time.getDay()] + kSpace + text;
    return time.getFullYear() + '-' + two(time.getMonth() + 1) + '-' + two(time.getDate()) + ' ' + text;
  }

  // ---- The page

  function setText(element, text) {
    const node = element.firstChild;
    if (node !== null && node.nodeType === Node.TEXT_NODE && node === element.lastChild) {
      if (node.nodeValue !== text) node.nodeValue = text;
    } else if (node !== null || text !== '') {
      element.textContent = text;
    }
  }
  function setAttribute(element, name, value) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
  function show(element, visible) {
    if (element.hidden === visible) element.hidden = !visible;
  }
  function showText(element, text) {
    setText(element, text);
    show(element, text !== '');
  }
  // Names and paths may have any length; a very long one gets its own scrolling box.
  function setLong(element, text, longest = 400) {
    setText(element, text);
    const isLong = text.length > longest;
    element.classList.toggle('long', isLong);
    if (isLong) setAttribute(element, 'tabindex', '0');
    else element.removeAttribute('tabindex');
  }
  function setState(chip, word, mood) {
    setText(chip, word);
    setAttribute(chip, 'data-mood', mood);
  }
  function setWidth(element, part, whole) {
    const width = whole > 0 ? (100 * part / whole).toFixed(3) + '%' : '0%';
    if (element.dataset.width === width) return;
    element.dataset.width = width;
    element.style.width = width;
    element.hidden = !(part > 0);
  }

  const kParts = new WeakMap();  // maps a copy of a template to its elements by data-f
  function copyOf(template) {
    const element = byId(template).content.firstElementChild.cloneNode(true);
    const parts = {};
    for (const part of element.querySelectorAll('[data-f]')) parts[part.dataset.f] = part;
    kParts.set(element, parts);
    return element;
  }
  function make(name, classes) {
    const element = document.createElement(name);
    element.className = classes;
    kParts.set(element, { self: element });
    return element;
  }

  // A list of keyed elements in `container`. Shows the first `limit` until the user expands it.
  class KeyedList {
    constructor(container, create, limit, what) {
      this.container = container;
      this.create = create;
      this.limit = limit;
      this.elements = new Map();
      if (!limit) return;
      this.button = document.createElement('button');
      this.button.type = 'button';
      this.button.className = 'more';
      this.button.hidden = true;
      this.what = what;
      this.all = false;
      this.button.addEventListener('click', () => {
        this.all = !this.all;
        render();
      });
      const before = container.closest('table') || container;
      before.after(this.button);
    }
    // `update(parts, entry)` fills in one element.
    show(entries, key, update) {
      const cut = this.limit && !this.all && entries.length > this.limit;
      const shown = cut ? entries.slice(0, this.limit) : entries;
      if (this.button) {
        showText(this.button, entries.length <= this.limit ? ''
          : this.all ? 'Show only the first ' + this.limit
          : 'Show all ' + number(entries.length) + ' ' + this.what);
        setAttribute(this.button, 'aria-expanded', String(this.all));
      }
      const seen = new Set();
      const keyed = [];
      for (const entry of shown) {
        let name = String(key(entry));
        while (seen.has(name)) name += '+';
        seen.add(name);
        keyed.push([name, entry]);
      }
      for (const [name, element] of this.elements) {
        if (seen.has(name)) continue;
        element.remove();
        this.elements.delete(name);
      }
      let next = this.container.firstElementChild;
      for (const [name, entry] of keyed) {
        let element = this.elements.get(name);
        if (element === undefined) {
          element = this.create();
          this.elements.set(name, element);
        }
        if (element === next) next = next.nextElementSibling;
        else this.container.insertBefore(element, next);
        update(kParts.get(element), entry, element);
      }
    }
  }

  const body = (table) => byId(table).tBodies[0];
  const lists = {
    problems: new KeyedList(byId('problems'), () => make('li', 'problem wrap')),
    open: new KeyedList(byId('open'), () => copyOf('session-card'), kOpenShown, 'sessions'),
    ended: new KeyedList(body('ended'), () => copyOf('ended-row'), kEndedShown, 'ended sessions'),
    reasons: new KeyedList(byId('reasons'), () => make('li', 'wrap')),
    failures: new KeyedList(body('failures'), () => copyOf('failure-row'), kFailuresShown, 'failures'),
    workers: new KeyedList(body('workers'), () => copyOf('worker-row'), kWorkersShown, 'workers'),
    destinations: new KeyedList(body('destinations'), () => copyOf('destination-row'), kWorkersShown, 'destinations'),
  };

  // ---- The known state

  // The latest responses, their time (`at`), when that last changed by the browser's clock, and how old they were then.
  const known = { sessions: null, workers: null, destinations: null, failures: null, at: 0, changed: 0, age: 0 };
  let failedRounds = 0;  // consecutive
  let watched = performance.now();  // since when the page has been visible
  let nextRound = 0;

  // The coordinator's time, independent of the browser's clock.
  function now() { return known.at === 0 ? Date.now() : known.at + ageMs(); }
  function ageMs() { return known.age + performance.now() - known.changed; }

  const kOpen = new Set(['scanning', 'sending']);
  const kSessionMoods = {
    scanning: 'busy', sending: 'busy', complete: 'good', unreachable: 'bad', refused: 'bad', suspended: 'idle',
    cancelled: 'idle',
  };

  // Extracts what the page shows of a session.
  function viewOf(entry) {
    const status = object(entry.status);
    const view = {
      id: printable(status.session),
      state: printable(status.state),
      destination: printable(entry.destination),
      calling: printable(object(status.destination).calling_ae),
      start: isNumber(entry.start_ms) ? entry.start_ms : null,
      end: isNumber(entry.end_ms) ? entry.end_ms : null,
      whole: status.scan_complete === true,
      stopping: status.stopping === true,
      asFound: status.dispatch === 'as_found',
      total: count(status.total),
      totalBytes: count(status.total_bytes),
      stored: count(status.stored),
      storedBytes: count(status.stored_bytes),
      warned: count(status.warnings),
      failed: count(status.failed),
      skipped: count(status.skipped),
      pending: count(status.pending),
      studies: count(status.studies),
      leases: count(status.leases),
      trouble: printable(status.trouble),
      waitsFor: printable(status.waits_for),
      endReason: printable(status.end_reason),
      rate: isNumber(entry.instances_per_second) ? Math.max(0, entry.instances_per_second) : null,
      byteRate: isNumber(entry.bytes_per_second) ? Math.max(0, entry.bytes_per_second) : null,
      secondsLeft: isNumber(entry.seconds_left) ? Math.max(0, entry.seconds_left) : null,
    };
    view.isOpen = kOpen.has(view.state);
    view.isSuspended = view.state === 'suspended';
    view.toSend = view.stored + view.failed + view.pending;
    return view;
  }

  function percent(done, total) { return total > 0 ? Math.min(100, Math.floor(100 * done / total)) : 0; }

  function stateOf(view) {
    const word = view.state || 'unknown', mood = kSessionMoods[view.state] || 'idle';
    if (view.state === 'complete' && view.failed > 0) return ['complete, some failed', 'bad'];
    if (view.isOpen && view.stopping) return [word + ' (stopping)', 'warn'];
    if (view.isOpen && view.trouble !== '') return [word, 'warn'];
    return [word, mood];
  }

  // ---- Sections

  function showSession(parts, view, workers, card) {
    const [word, mood] = stateOf(view);
    setState(parts.state, word, mood);
    setLong(parts.destination, view.destination, 160);
    setAttribute(parts.destination, 'title', view.calling === '' ? '' : 'Calling AE title ' + view.calling);
    setText(parts.started, view.start === null ? ''
      : 'Started ' + clock(view.start) + ', ' + duration(now() - view.start) + ' ago');
    setText(parts.id, view.id);
    card.classList.toggle('suspended', view.isSuspended);

    const warned = Math.min(view.warned, view.stored);
    const whole = Math.max(view.total, view.toSend + view.skipped);
    setWidth(parts['bar-stored'], view.stored - warned, whole);
    setWidth(parts['bar-warned'], warned, whole);
    setWidth(parts['bar-failed'], view.failed, whole);
    setWidth(parts['bar-skipped'], view.skipped, whole);
    parts.bar.classList.toggle('growing', !view.whole);
    const progress = view.whole ? number(view.stored) + ' of ' + instances(view.toSend)
                                : number(view.stored) + ' of ' + number(view.total) + ' found so far';
    const part = percent(view.stored, view.toSend);
    setText(parts.percent, view.whole ? part + '%' : number(view.total) + ' found so far');
    if (view.whole) setAttribute(parts.bar, 'aria-valuenow', String(part));
    else parts.bar.removeAttribute('aria-valuenow');
    setAttribute(parts.bar, 'aria-valuetext', progress);

    showText(parts.waits, view.waitsFor === '' ? '' : 'Waits for: ' + view.waitsFor);
    parts.waits.classList.toggle('problem', view.isOpen && (view.trouble !== '' || workers.length === 0) &&
      view.waitsFor !== '');

    setText(parts.stored, number(view.stored));
    setText(parts.warned, number(view.warned));
    setText(parts.failed, number(view.failed));
    parts.failed.classList.toggle('bad', view.failed > 0);
    setText(parts.skipped, number(view.skipped));
    setText(parts.left, number(view.pending));
    setText(parts['left-more'], view.whole ? '' : 'so far');
    setText(parts.bytes, bytes(view.storedBytes));
    setText(parts['bytes-more'], 'of ' + bytes(view.totalBytes));
    setText(parts.studies, number(view.studies));
    setText(parts['studies-more'], view.leases > 0 ? number(view.leases) + ' being sent' : '');
    const rate = view.isSuspended ? null : view.rate;
    setText(parts.speed, rate === null ? kNothing : figure(rate) + '/s');
    setText(parts['speed-more'], rate === null || view.byteRate === null ? '' : bytes(view.byteRate) + '/s');
    const left = view.isSuspended ? null : view.secondsLeft;
    setText(parts.eta, left === null ? kNothing : duration(left * 1000));
    setText(parts['eta-more'], left === null ? '' : 'until ' + clock(now() + left * 1000));
  }

  function showEnded(parts, view) {
    setState(parts.state, ...stateOf(view));
    setLong(parts.destination, view.destination, 160);
    setText(parts.id, view.id);
    const unsent = view.pending > 0 ? instances(view.pending) + ' pending.' : '';
    showText(parts.why, [view.endReason, unsent].filter((text) => text !== '').join(' \u2013 '));
    setText(parts.stored, number(view.stored));
    setText(parts.warned, view.warned > 0 ? number(view.warned) + ' with a warning' : '');
    setText(parts.failed, number(view.failed));
    parts.failed.classList.toggle('bad', view.failed > 0);
    setText(parts.skipped, number(view.skipped));
    setText(parts.bytes, bytes(view.storedBytes));
    setText(parts.ended, clock(view.end === null ? view.start : view.end));
    setText(parts.took, view.end === null || view.start === null ? '' : 'after ' + duration(view.end - view.start));
  }

  // Removes the leading status from the reason, because the status has its own column.
  function reasonOf(failure) {
    const status = printable(failure.status), reason = printable(failure.reason);
    return status !== '' && reason.startsWith(status + ' ') ? reason.slice(status.length + 1) : reason;
  }

  function showFailure(parts, entry) {
    const failure = object(entry.failure);
    setText(parts.time, clock(entry.time_ms, true));
    const status = printable(failure.status);
    setText(parts.status, status === '' ? 'none' : status);
    setAttribute(parts.status, 'title', status === '' ? 'The destination returned no status' : 'DIMSE status');
    parts.status.classList.toggle('muted', status === '');
    setLong(parts.reason, reasonOf(failure));
    setText(parts.attempts, count(failure.attempts) > 1 ? 'after ' + number(failure.attempts) + ' attempts' : '');
    setLong(parts.path, printable(failure.path));
    setText(parts.instance, printable(failure.sop_instance_uid) || kNothing);
    setText(parts.study, printable(failure.study_instance_uid) || kNothing);
    setText(parts.session, printable(entry.session) || kNothing);
    setLong(parts.worker, printable(failure.worker) || kNothing, 100);
  }

  function showFailures(entries) {
    show(byId('failures'), entries.length > 0);
    showText(byId('no-failure'), entries.length > 0 ? '' : 'None.');
    const reasons = new Map();
    for (const entry of entries) {
      const failure = object(entry.failure);
      const status = printable(failure.status);
      const text = (status === '' ? '' : status + ' ') + reasonOf(failure);
      reasons.set(text, (reasons.get(text) || 0) + 1);
    }
    const frequent = [...reasons].filter(([, times]) => times > 1).sort((a, b) => b[1] - a[1]).slice(0, 3);
    show(byId('reasons'), frequent.length > 0);
    lists.reasons.show(frequent, ([text]) => text, (parts, [text, times]) => {
      setText(parts.self, number(times) + kSpace + '\u00d7 ' + text);
    });
    const key = (entry) => {
      const failure = object(entry.failure);
      return [entry.time_ms, entry.session, failure.path, failure.sop_instance_uid].join(' ');
    };
    lists.failures.show(entries, key, showFailure);
  }

  const kWorkerMoods = {
    sending: 'busy', idle: 'idle', draining: 'idle', 'not ready': 'bad', quarantined: 'warn', lost: 'warn',
  };
  const kDestinationMoods = { reachable: 'good', unreachable: 'bad', throttled: 'warn' };
  function setStateOf(chip, entry, moods) {
    const state = printable(entry.state);
    setState(chip, state, moods[state] || 'warn');
  }

  // Says why the worker does not get all studies.
  function troubleOf(worker) {
    const notReady = printable(worker.not_ready);
    const troubles = list(worker.quarantined).map((entry) => printable(entry.what) + ': ' + printable(entry.reason));
    return (notReady === '' ? troubles : [notReady, ...troubles]).join('; ');
  }

  function showWorkers(workers, total) {
    show(byId('no-worker'), workers.length === 0);
    show(byId('workers'), workers.length > 0);
    showText(byId('workers-not-shown'),
      total > workers.length ? 'And ' + number(total - workers.length) + ' more: see dicom-ctl workers.' : '');
    lists.workers.show(workers, (worker) => worker.worker, (parts, worker) => {
      const capacity = count(worker.capacity), leases = count(worker.leases);
      setLong(parts.worker, printable(worker.worker), 120);
      setStateOf(parts.state, worker, kWorkerMoods);
      showText(parts.why, troubleOf(worker));
      show(parts.load, capacity > 0);
      setWidth(parts['load-bar'], Math.min(leases, capacity), capacity);
      setText(parts.associations, capacity > 0 ? number(leases) + ' of ' + number(capacity) : number(leases));
      setText(parts.seen, capacity > 0 ? duration(count(worker.last_seen_ms)) + ' ago' : kNothing);
    });
  }

  function showDestinations(destinations) {
    show(byId('no-destination'), destinations.length === 0);
    show(byId('destinations'), destinations.length > 0);
    lists.destinations.show(destinations, (to) => to.destination, (parts, to) => {
      const trouble = printable(to.trouble);
      setLong(parts.destination, printable(to.destination), 120);
      showText(parts.why, trouble);
      setStateOf(parts.state, to, kDestinationMoods);
      setText(parts.leases, number(to.leases) + (isNumber(to.limit) ? ' of at most ' + number(to.limit) : ''));
      setText(parts.ready, number(to.ready));
    });
  }

  // ---- The overview

  // Each problem is a text and a key. The key identifies the problem when its text changes.
  function problemsOf(workers, destinations) {
    const problems = [];
    const waiting = sum(destinations, (to) => count(to.ready));
    const heard = workers.filter((worker) => count(worker.capacity) > 0);
    const silent = heard.filter((worker) => count(worker.last_seen_ms) > kSilentAfter);
    const wait = studies(waiting) + (waiting === 1 ? ' is waiting' : ' are waiting');
    if (waiting > 0 && workers.length === 0) {
      problems.push([wait + ', and no worker is connected. Start dicom-worker.', 'no worker']);
    } else if (waiting > 0 && heard.length > 0 && heard.every((worker) => worker.draining === true)) {
      problems.push([wait + ', and every worker is draining. Start another dicom-worker.', 'no worker']);
    }
    for (const to of destinations) {
      const trouble = printable(to.trouble);
      if (to.breaker_open !== true && trouble === '') continue;
      problems.push([printable(to.destination) + ': ' + (trouble || 'unreachable'), 'destination ' + to.destination]);
    }
    for (const worker of heard) {
      const trouble = troubleOf(worker);
      if (trouble === '') continue;
      problems.push(['Worker ' + printable(worker.worker) + ' ' +
        (printable(worker.not_ready) === '' ? 'is quarantined' : 'is not ready') + ': ' + trouble,
        'worker ' + worker.worker]);
    }
    if (silent.length > 0) {
      problems.push([counted(silent.length, 'worker has', 'workers have') + ' been silent for ' +
        duration(Math.max(...silent.map((worker) => worker.last_seen_ms))) + '.', 'silent']);
    }
    return problems;
  }

  function verdictOf(open, suspended, ended, workers) {
    if (open.length === 0) {
      if (suspended.length > 0) return ['Suspended', 'idle'];
      if (ended.length === 0) return ['Nothing to do', 'idle'];
      return ['All sessions have ended', stateOf(ended[0])[1] === 'good' ? 'good' : 'warn'];
    }
    const rate = sum(open, (view) => view.rate || 0);
    const sending = open.filter((view) => view.leases > 0 && view.trouble === '');
    if (rate > 0 || sending.length > 0) return ['Sending', 'busy'];
    if (open.some((view) => view.trouble !== '')) return ['Waiting for the destination', 'warn'];
    if (open.every((view) => view.stopping)) return ['Stopping', 'warn'];
    if (open.every((view) => !view.whole)) return ['Scanning', 'busy'];
    if (workers.length === 0) return ['Waiting for a worker', 'warn'];
    return ['Waiting', 'idle'];
  }

  function showOverview(open, suspended, ended, workers, workersTotal, destinations) {
    const [word, mood] = verdictOf(open, suspended, ended, workers);
    setText(byId('verdict'), word);
    setAttribute(byId('overview'), 'data-mood', mood);
    const counts = [[open.length, 'open'], [suspended.length, 'suspended'], [ended.length, 'ended']]
      .filter(([n]) => n > 0).map(([n, what]) => number(n) + ' ' + what);
    setText(byId('verdict-detail'), counts.length === 0 ? 'No session yet'
      : counts.join(', ') + (open.length + suspended.length + ended.length === 1 ? ' session' : ' sessions'));

    for (const name of ['done', 'speed', 'left']) show(byId(name).parentElement, open.length > 0);
    // A percentage of a total that is still growing would be meaningless.
    const whole = open.filter((view) => view.whole), growing = open.filter((view) => !view.whole);
    const part = percent(sum(whole, (view) => view.stored), sum(whole, (view) => view.toSend)) + '%';
    setText(byId('done'), whole.length > 0 ? part : kNothing);
    const amounts = [];
    if (whole.length > 0) {
      amounts.push(number(sum(whole, (view) => view.stored)) + ' of ' + number(sum(whole, (view) => view.toSend)));
    }
    if (growing.length > 0) amounts.push(number(sum(growing, (view) => view.total)) + ' found so far');
    setText(byId('done-detail'), amounts.join(', and '));

    const rated = open.filter((view) => view.rate !== null);
    setText(byId('speed'), rated.length === 0 ? kNothing : figure(sum(rated, (view) => view.rate)) + '/s');
    setText(byId('speed-detail'), rated.length === 0 ? 'not known yet'
      : 'instances, ' + bytes(sum(rated, (view) => view.byteRate || 0)) + '/s');

    const lefts = whole.filter((view) => !view.stopping).map((view) => view.secondsLeft);
    const longest = lefts.length === 0 || lefts.includes(null) ? null : Math.max(...lefts);
    setText(byId('left'), longest === null ? kNothing : duration(longest * 1000));
    setText(byId('left-detail'), longest !== null
      ? 'until ' + clock(now() + longest * 1000) + (growing.length > 0 ? ', without running scans' : '')
      : 'not known yet');

    const failed = sum(open, (view) => view.failed);
    const failedEarlier = sum(ended.concat(suspended), (view) => view.failed);
    const shownFailed = open.length > 0 ? failed : failedEarlier;
    setText(byId('failed'), number(shownFailed));
    byId('failed').classList.toggle('bad', shownFailed > 0);
    const isEmpty = open.length + suspended.length + ended.length === 0;
    setText(byId('failed-detail'), isEmpty ? '' : open.length === 0 ? 'in the sessions below'
      : failedEarlier > 0 ? 'and ' + number(failedEarlier) + ' in other sessions' : 'in open sessions');

    const capacity = sum(workers, (worker) => count(worker.capacity));
    const leases = sum(workers, (worker) => count(worker.leases));
    setText(byId('busy'), number(Math.max(workersTotal, workers.length)));
    setText(byId('busy-detail'), workers.length === 0 ? 'none connected'
      : number(leases) + ' of ' + counted(capacity, 'association', 'associations') + ' in use');

    lists.problems.show(problemsOf(workers, destinations), ([, key]) => key, (parts, [text]) => {
      setLong(parts.self, text);
    });
    if (open.length === 0 && suspended.length === 0 && ended.length > 0) return stateOf(ended[0])[0];
    if (whole.length === 0) return word.toLowerCase();
    return part + (mood === 'warn' ? ' ' + word.toLowerCase() : '');
  }

  let title = '';
  function render() {
    if (known.sessions === null) return;
    const views = list(known.sessions.sessions).map(viewOf);
    const open = views.filter((view) => view.isOpen);
    const suspended = views.filter((view) => view.isSuspended);
    const ended = views.filter((view) => !view.isOpen && !view.isSuspended);
    const workers = list(known.workers.workers);
    const destinations = list(known.destinations.destinations);

    setText(byId('version'), printable(known.sessions.version));
    title = showOverview(open, suspended, ended, workers, count(known.workers.total), destinations);
    show(byId('no-session'), views.length === 0);
    lists.open.show(open.concat(suspended), (view) => view.id,
      (parts, view, card) => showSession(parts, view, workers, card));
    show(byId('ended'), ended.length > 0);
    show(byId('ended-title'), ended.length > 0);
    lists.ended.show(ended, (view) => view.id, showEnded);
    const more = count(known.sessions.not_shown);
    showText(byId('not-shown'), more > 0 ? counted(more, 'older session is', 'older sessions are') +
      ' not shown: see dicom-ctl sessions.' : '');
    showFailures(list(known.failures.failures));
    showWorkers(workers, count(known.workers.total));
    showDestinations(destinations);
    show(byId('snapshot'), false);
    show(byId('main'), true);
    showAge();
  }

  // Shows the age of the data once it matters.
  function showAge() {
    const current = performance.now();
    const nothing = known.sessions === null;
    // If the data is old because the page was hidden, new data has just been requested.
    const isStale = !nothing && ageMs() > kStaleAfter && current - watched > kStaleAfter;
    const fails = failedRounds > (nothing ? 0 : 1) || (isStale && failedRounds > 0);
    const asOf = nothing ? '' : 'as of ' + clock(known.at, true);
    let text = '', news = '', age = '';
    if (fails || isStale) {
      text = fails ? 'The coordinator does not answer.' : 'The coordinator is busy and sends no updates.';
      news = fails ? 'no answer' : 'no updates';
      if (!nothing) {
        text += ' Showing the state ' + asOf;
        news += ', was ' + title;
        age = ', ' + duration(ageMs()) + ' ago.';
      }
      const wait = Math.ceil((nextRound - current) / 1000);
      if (fails && wait > 0) age += ' Retrying in ' + wait + ' s.';
    }
    setText(byId('notice-text'), text);
    setText(byId('notice-age'), age);
    byId('notice').classList.toggle('shown', text !== '');
    document.body.classList.toggle('stale', text !== '');
    setText(byId('updated'), nothing && text === '' ? 'Asking the coordinator \u2026' : asOf);
    const whole = [news || title, 'dicom-sender'].filter((part) => part !== '').join(' - ');
    if (document.title !== whole) document.title = whole;
  }

  // ---- Polling

  async function ask(path) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), kTimeout);
    try {
      const answer = await fetch('api/' + path, { signal: abort.signal, cache: 'no-store' });
      if (!answer.ok) throw new Error('status ' + answer.status);
      const data = object(await answer.json());
      if (!isNumber(data.at_ms)) throw new Error('not an answer');
      return [data, Date.parse(answer.headers.get('Date') || '')];
    } finally {
      clearTimeout(timer);
    }
  }

  let asking = false;
  let timer = 0;
  async function round() {
    clearTimeout(timer);
    if (asking || document.hidden) return;
    asking = true;
    try {
      // One request at a time, because the coordinator serves only a few at once, and other browsers poll it, too.
      const [sessions, date] = await ask('sessions');
      const [workers] = await ask('workers');
      const [destinations] = await ask('destinations');
      const [recent] = await ask('failures');
      if (sessions.at_ms !== known.at) {
        // The age on arrival by the coordinator's own clock. The Date header has a resolution of 1 s.
        known.age = isNumber(date) ? Math.max(0, date - sessions.at_ms) : 0;
        known.at = sessions.at_ms;
        known.changed = performance.now();
      }
      Object.assign(known, { sessions, workers, destinations, failures: recent });
      failedRounds = 0;
    } catch {
      ++failedRounds;
    }
    asking = false;
    const pause = failedRounds === 0 ? kEvery : Math.min(kPauseMax, kEvery * 2 ** (failedRounds - 1));
    nextRound = performance.now() + pause;
    if (!document.hidden) timer = setTimeout(round, pause);
    if (failedRounds === 0) render();
    else showAge();
  }

  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (document.hidden) return;
    watched = performance.now();
    round();
  });
  window.addEventListener('online', round);
  setInterval(() => { if (!document.hidden) showAge(); }, 1000);

  // The page was delivered with the state at that time.
  const state = byId('state');
  if (state !== null) {
    const { sessions, workers, destinations, failures } = object(JSON.parse(state.textContent));
    Object.assign(known, { sessions, workers, destinations, failures, at: sessions.at_ms, changed: performance.now() });
    render();
  }

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  setText(byId('zone'), zone ? 'Times are in the time zone ' + zone + '.' : '');
  round();
})();
