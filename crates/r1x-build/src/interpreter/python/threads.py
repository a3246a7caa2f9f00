"""Threads for programs that a model wrote, in an interpreter that has none: they take turns.

A thread runs when it is started, until it waits for something or ends; then the next one that can go on does.
Nothing else interrupts it, so a program gives the same output every time. Where no thread can go on, the clock
of `sleep` and of timeouts jumps to the next time somebody waits for; where nobody waits for a time either, the
program is told that it waits for ever.

A thread is suspended as a generator: `weave` gives each function of the program that may wait a twin that yields
where the function would wait. Where a thread waits below a call that has no twin (a key function of `sorted`, a
destructor), the others take their turns on top of it. Must not know what a program is for, nor its tests.
"""

import concurrent.futures
import heapq
import itertools
import queue
import sys
import threading
import time
import traceback
import types
import _thread
from collections import deque
from concurrent.futures import _base

FOREVER = float("inf")


class Deadlock(BaseException):
    """No thread can go on."""

    __module__ = "builtins"


class Wait:
    """What a thread waits for: a condition, until a time, and how to say it."""

    __slots__ = ("ready", "until", "what", "turn")

    def __init__(self, ready, until, what, turn=False):
        self.ready, self.until, self.what, self.turn = ready, until, what, turn


def turn():
    """Waits for nothing but lets the others go first: a program that asks again and again wants that."""
    return Wait(lambda: True, FOREVER, "its turn", True)


class Task:
    """A thread that is suspended or runs."""

    __slots__ = ("thread", "generator", "wait", "running")

    def __init__(self, thread, generator):
        self.thread, self.generator, self.wait, self.running = thread, generator, None, False


class Scheduler:
    """Whose turn it is, and what time it is."""

    def __init__(self):
        self.now = 0.0
        self.tasks = []
        # Calls given to pools that are not made yet.
        self.owed = 0
        self.idents = itertools.count(2)
        self.names = itertools.count(1)
        self.pools = itertools.count()

    def reset(self):
        """Forgets the threads of the program before. They are kept as they are, for closing one would run it."""
        graveyard.append(self.tasks)
        self.__init__()
        self.current = self.main = MainThread()

    def resume(self, task):
        """Runs a thread until it waits or ends."""
        before, self.current, task.running = self.current, task.thread, True
        try:
            task.wait = task.generator.send(None)
        except BaseException as end:
            self.tasks.remove(task)
            if not isinstance(end, StopIteration):
                raise
        finally:
            self.current, task.running = before, False

    def step(self, until=FOREVER):
        """Runs the thread that can go on and had its last turn first. Where there is none, time passes until one
        can, but not beyond a time. Says whether anything of this happened."""
        resting = [task for task in self.tasks if not task.running]
        turns = [task for task in resting if task.wait is not None and task.wait.turn]
        for task in resting:
            wait = task.wait
            if wait is None or not wait.turn and (wait.until <= self.now or wait.ready()):
                return self.run(task)
        soonest = min([until, *(task.wait.until for task in resting)])
        if soonest < FOREVER:
            self.now = max(self.now, soonest)
            return True
        return bool(turns) and self.run(turns[0])

    def run(self, task):
        self.tasks.remove(task)
        self.tasks.append(task)
        self.resume(task)
        return True

    def block(self, wait):
        """Waits in a place that cannot be suspended: the others take their turns meanwhile."""
        if wait.turn:
            self.step()
            return
        while wait.until > self.now and not wait.ready():
            if not self.step(wait.until):
                raise Deadlock(self.waiting(wait))

    def waiting(self, wait):
        others = [(task.thread.name, task.wait) for task in self.tasks if task.wait and not task.running]
        waits = [(self.current.name, wait), *others]
        listed = "; ".join(f"{name} waits for {wait.what}" for name, wait in waits[:4])
        more = f"; and {len(waits) - 4} more" if len(waits) > 4 else ""
        return f"no thread can go on: {listed}{more}"

    def finish(self):
        """What the end of a program waits for: threads that are no daemons, and the calls of pools."""
        done = lambda: not self.owed and all(task.thread.daemon for task in self.tasks)
        self.block(Wait(done, FOREVER, "the other threads to end"))


scheduler = Scheduler()
graveyard = []


def drive(generator):
    """Runs what may wait to its end, waiting in place."""
    try:
        while True:
            scheduler.block(generator.send(None))
    except StopIteration as end:
        return end.value


def waits(twin):
    """A method that may wait, from a generator that yields what it waits for."""

    def method(*args, **kwargs):
        return drive(twin(*args, **kwargs))

    method.__name__, method.__qualname__, method.__doc__ = twin.__name__, twin.__qualname__, twin.__doc__
    return noted(method, twin)


def noted(function, twin):
    # A decorator may copy the note to a function around this one, whose twin it is not.
    function.r1x_twin = (id(function), twin)
    return function


def pair(twin):
    """Notes the twin of a function of the program, which has the function's defaults."""

    def note(function):
        twin.__defaults__, twin.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        return noted(function, twin)

    return note


def twin_of(function):
    """The generator to run instead of a function, with the arguments that come first; `None` without one."""
    first = ()
    for _ in range(8):
        if isinstance(function, types.MethodType):
            first, function = (function.__self__, *first), function.__func__
        elif type(function).__name__ == "partial" and not function.keywords:
            first, function = (*function.args, *first), function.func
        elif not isinstance(function, types.FunctionType) and hasattr(type(function), "__call__") and not isinstance(
            function, (type, types.BuiltinFunctionType)
        ):
            call = type(function).__call__
            if not isinstance(call, types.FunctionType):
                return None
            first, function = (function, *first), call
        else:
            break
    identity, twin = getattr(function, "r1x_twin", (None, None))
    return (twin, first) if identity == id(function) else None


def call(function, /, *args, **kwargs):
    """A call inside a twin: of the callee's twin where it has one."""
    found = twin_of(function)
    if found is None:
        return function(*args, **kwargs)
    twin, first = found
    return (yield from twin(*first, *args, **kwargs))


class Entered:
    """A context that was entered already."""

    def __init__(self, context, value):
        self.context, self.value = context, value

    def __enter__(self):
        return self.value

    def __exit__(self, *error):
        return type(self.context).__exit__(self.context, *error)


def enter(context):
    """`with` inside a twin: waits for the context where entering it may wait."""
    found = twin_of(getattr(type(context), "__enter__", None))
    if found is None:
        return context
    return Entered(context, (yield from found[0](context)))


def until(timeout):
    return FOREVER if timeout is None or timeout < 0 else scheduler.now + timeout


class Lock:
    """A lock; also what `_thread.allocate_lock` makes."""

    def __init__(self):
        self.owner = None

    def acquire(self, blocking=True, timeout=-1):
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if self.owner is not None and blocking:
            yield Wait(lambda: self.owner is None, until(timeout), "a lock")
        if self.owner is not None:
            return False
        self.owner = scheduler.current
        return True

    acquire = waits(acquire)
    __enter__ = acquire_lock = acquire

    def release(self):
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.owner = None

    release_lock = release

    def locked(self):
        return self.owner is not None

    locked_lock = locked

    def __exit__(self, *error):
        self.release()


class RLock:
    def __init__(self):
        self.owner, self.count = None, 0

    def acquire(self, blocking=True, timeout=-1):
        me = scheduler.current
        if self.owner not in (None, me) and blocking:
            yield Wait(lambda: self.owner is None, until(timeout), "a lock")
        if self.owner not in (None, me):
            return False
        self.owner, self.count = me, self.count + 1
        return True

    acquire = waits(acquire)
    __enter__ = acquire

    def release(self):
        if self.owner is not scheduler.current:
            raise RuntimeError("cannot release un-acquired lock")
        self.count -= 1
        if not self.count:
            self.owner = None

    def locked(self):
        return self.owner is not None

    def __exit__(self, *error):
        self.release()


class Condition:
    def __init__(self, lock=None):
        self.lock = RLock() if lock is None else lock
        self.acquire, self.release = self.lock.acquire, self.lock.release
        self.waiters = deque()

    def __enter__(self):
        return (yield from call(self.lock.__enter__))

    __enter__ = waits(__enter__)

    def __exit__(self, *error):
        return self.lock.__exit__(*error)

    def wait(self, timeout=None):
        if self.lock.owner is not scheduler.current:
            raise RuntimeError("cannot wait on un-acquired lock")
        token, count = [], getattr(self.lock, "count", 1)
        self.waiters.append(token)
        for _ in range(count):
            self.lock.release()
        yield Wait(lambda: bool(token), until(timeout), "a condition")
        if not token:
            self.waiters.remove(token)
        for _ in range(count):
            yield from call(self.lock.acquire)
        return bool(token)

    wait = waits(wait)

    def wait_for(self, predicate, timeout=None):
        end = until(timeout)
        while not (result := (yield from call(predicate))):
            left = None if end == FOREVER else end - scheduler.now
            if left is not None and left <= 0:
                break
            yield from call(self.wait, left)
        return result

    wait_for = waits(wait_for)

    def notify(self, n=1):
        if self.lock.owner is not scheduler.current:
            raise RuntimeError("cannot notify on un-acquired lock")
        for _ in range(min(n, len(self.waiters))):
            self.waiters.popleft().append(True)

    def notify_all(self):
        self.notify(len(self.waiters))

    notifyAll = notify_all


class Semaphore:
    def __init__(self, value=1):
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._value = value

    def acquire(self, blocking=True, timeout=None):
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        if not self._value and blocking:
            yield Wait(lambda: self._value > 0, until(timeout), "a semaphore")
        if not self._value:
            return False
        self._value -= 1
        return True

    acquire = waits(acquire)
    __enter__ = acquire

    def release(self, n=1):
        if n < 1:
            raise ValueError("n must be one or more")
        self._value += n

    def __exit__(self, *error):
        self.release()


class BoundedSemaphore(Semaphore):
    def __init__(self, value=1):
        super().__init__(value)
        self._initial_value = value

    def release(self, n=1):
        if self._value + n > self._initial_value:
            raise ValueError("Semaphore released too many times")
        super().release(n)


class Event:
    def __init__(self):
        self._flag = False

    def is_set(self):
        # A program that asks again and again waits for another thread to answer.
        if not self._flag:
            yield turn()
        return self._flag

    is_set = isSet = waits(is_set)

    def set(self):
        self._flag = True

    def clear(self):
        self._flag = False

    def wait(self, timeout=None):
        if not self._flag:
            yield Wait(lambda: self._flag, until(timeout), "an event")
        return self._flag

    wait = waits(wait)


class Barrier:
    def __init__(self, parties, action=None, timeout=None):
        if parties < 1:
            raise ValueError("parties must be >= 1")
        self.parties, self._action, self._timeout = parties, action, timeout
        # The round that waits: how many there are, and what became of it.
        self._round, self.broken = [0, None], False

    @property
    def n_waiting(self):
        return self._round[0]

    def _end(self, state):
        self._round[1], self._round = state, [0, None]

    def wait(self, timeout=None):
        if self.broken:
            raise threading.BrokenBarrierError
        timeout = self._timeout if timeout is None else timeout
        mine = self._round
        index = mine[0]
        mine[0] += 1
        if mine[0] == self.parties:
            if self._action:
                yield from call(self._action)
            self._end("open")
        else:
            yield Wait(lambda: mine[1], until(timeout), "a barrier")
            if mine[1] is None:
                self.abort()
        if mine[1] != "open":
            raise threading.BrokenBarrierError
        return index

    wait = waits(wait)

    def abort(self):
        self.broken = True
        self._end("broken")

    def reset(self):
        self.broken = False
        self._end("broken")


class Thread:
    def __init__(self, group=None, target=None, name=None, args=(), kwargs=None, *, daemon=None, context=None):
        if group is not None:
            raise ValueError("group argument must be None for now")
        if not name:
            suffix = f" ({target.__name__})" if hasattr(target, "__name__") else ""
            name = f"Thread-{next(scheduler.names)}{suffix}"
        self.name = str(name)
        self.daemon = scheduler.current.daemon if daemon is None else bool(daemon)
        self.ident = self.native_id = None
        self._target, self._args, self._kwargs = target, args, kwargs or {}
        self._ended = False

    def run(self):
        if self._target is not None:
            yield from call(self._target, *self._args, **self._kwargs)

    run = waits(run)

    def _life(self):
        try:
            yield from call(self.run)
        except SystemExit:
            pass
        except Deadlock:
            raise
        except BaseException as error:
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self)))
        finally:
            self._ended = True

    def start(self):
        if self.ident is not None:
            raise RuntimeError("threads can only be started once")
        self.ident = self.native_id = next(scheduler.idents)
        task = Task(self, self._life())
        scheduler.tasks.append(task)
        scheduler.resume(task)

    def join(self, timeout=None):
        if self.ident is None:
            raise RuntimeError("cannot join thread before it is started")
        if self is scheduler.current:
            raise RuntimeError("cannot join current thread")
        if not self._ended:
            yield Wait(lambda: self._ended, until(timeout), f"{self.name} to end")

    join = waits(join)

    def is_alive(self):
        if self.ident is not None and not self._ended:
            yield turn()
        return self.ident is not None and not self._ended

    is_alive = waits(is_alive)

    def getName(self):
        return self.name

    def setName(self, name):
        self.name = str(name)

    def isDaemon(self):
        return self.daemon

    def setDaemon(self, daemon):
        self.daemon = bool(daemon)

    def __repr__(self):
        state = "initial" if self.ident is None else "stopped" if self._ended else "started"
        return f"<{type(self).__name__}({self.name}, {state} {self.ident})>"


class MainThread(Thread):
    def __init__(self):
        self.name, self.daemon, self.ident, self.native_id, self._ended = "MainThread", False, 1, 1, False


class Timer(Thread):
    def __init__(self, interval, function, args=None, kwargs=None):
        super().__init__()
        self.interval, self.function, self.args, self.kwargs = interval, function, args or [], kwargs or {}
        self.finished = Event()

    def cancel(self):
        self.finished.set()

    def run(self):
        yield from call(self.finished.wait, self.interval)
        if not self.finished._flag:
            yield from call(self.function, *self.args, **self.kwargs)
        self.finished.set()

    run = waits(run)


class local:
    """Attributes of a thread. A subclass sets its own up anew in each."""

    def __new__(cls, *args, **kwargs):
        self = object.__new__(cls)
        object.__setattr__(self, "_r1x", ({}, args, kwargs))
        return self

    def __getattribute__(self, name):
        spaces, args, kwargs = object.__getattribute__(self, "_r1x")
        me = scheduler.current
        if me not in spaces:
            first = not spaces
            spaces[me] = {}
            if not first:
                type(self).__init__(self, *args, **kwargs)
        if name == "__dict__":
            return spaces[me]
        if name in spaces[me]:
            return spaces[me][name]
        return object.__getattribute__(self, name)

    def __setattr__(self, name, value):
        self.__dict__[name] = value

    def __delattr__(self, name):
        try:
            del self.__dict__[name]
        except KeyError:
            raise AttributeError(name) from None


class Queue:
    """A queue of either order; subclasses say where items are kept, as those of the standard library do."""

    def __init__(self, maxsize=0):
        self.maxsize, self.unfinished_tasks, self.is_shutdown = maxsize, 0, False
        self.mutex = Lock()
        self._init(maxsize)

    def _init(self, maxsize):
        self.queue = deque()

    def _qsize(self):
        return len(self.queue)

    def _put(self, item):
        self.queue.append(item)

    def _get(self):
        return self.queue.popleft()

    def qsize(self):
        return self._qsize()

    def empty(self):
        return not self._qsize()

    def full(self):
        return 0 < self.maxsize <= self._qsize()

    def put(self, item, block=True, timeout=None):
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        if self.full() and block and not self.is_shutdown:
            yield Wait(lambda: not self.full() or self.is_shutdown, until(timeout), "room in a queue")
        if self.is_shutdown:
            raise ShutDown
        if self.full():
            raise queue.Full
        self._put(item)
        self.unfinished_tasks += 1

    slow_put = put

    def put(self, item, block=True, timeout=None):
        if self.maxsize <= 0 and not self.is_shutdown:
            self._put(item)
            self.unfinished_tasks += 1
        else:
            drive(self.slow_put(item, block, timeout))

    noted(put, slow_put)

    def get(self, block=True, timeout=None):
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        if not self._qsize() and block and not self.is_shutdown:
            yield Wait(lambda: self._qsize() or self.is_shutdown, until(timeout), "an item of a queue")
        if not self._qsize():
            raise ShutDown if self.is_shutdown else queue.Empty
        return self._get()

    slow_get = get

    def get(self, block=True, timeout=None):
        return self._get() if self._qsize() else drive(self.slow_get(block, timeout))

    noted(get, slow_get)

    def put_nowait(self, item):
        self.put(item, False)

    def get_nowait(self):
        return self.get(False)

    def task_done(self):
        if self.unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self.unfinished_tasks -= 1

    def join(self):
        if self.unfinished_tasks:
            yield Wait(lambda: not self.unfinished_tasks, FOREVER, "a queue's tasks to be done")

    join = waits(join)

    def shutdown(self, immediate=False):
        self.is_shutdown = True
        while immediate and self._qsize():
            self._get()
            self.unfinished_tasks -= 1

    def __class_getitem__(cls, item):
        return cls


class LifoQueue(Queue):
    def _init(self, maxsize):
        self.queue = []

    def _get(self):
        return self.queue.pop()


class PriorityQueue(LifoQueue):
    def _put(self, item):
        heapq.heappush(self.queue, item)

    def _get(self):
        return heapq.heappop(self.queue)


class SimpleQueue(Queue):
    def __init__(self):
        super().__init__()


ShutDown = getattr(queue, "ShutDown", None) or type("ShutDown", (Exception,), {"__module__": "queue"})


class Future(_base.Future):
    def _over(self, timeout):
        if not self.done():
            yield Wait(self.done, until(timeout), "a future")
        if not self.done():
            raise concurrent.futures.TimeoutError()

    def result(self, timeout=None):
        yield from self._over(timeout)
        return super().result(0)

    result = waits(result)

    def exception(self, timeout=None):
        yield from self._over(timeout)
        return super().exception(0)

    exception = waits(exception)


class Executor(_base.Executor):
    """A pool: so many threads at most, each of which takes the next call when it is done with one."""

    def __init__(self, max_workers=None, thread_name_prefix="", initializer=None, initargs=(), **rest):
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        self._most = max_workers or 5
        self._prefix = thread_name_prefix or f"ThreadPoolExecutor-{next(scheduler.pools)}"
        self._prepare = lambda: initializer(*initargs) if initializer else None
        self._calls, self._workers, self._idle, self._closed = deque(), [], 0, False

    def submit(self, fn, /, *args, **kwargs):
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = Future()
        self._calls.append((future, fn, args, kwargs))
        scheduler.owed += 1
        if not self._idle and len(self._workers) < self._most:
            thread = Thread(target=self._work, name=f"{self._prefix}_{len(self._workers)}", daemon=True)
            self._workers.append(thread)
            thread.start()
        return future

    def _work(self):
        self._prepare()
        while True:
            if not self._calls:
                self._idle += 1
                yield Wait(lambda: self._calls or self._closed, FOREVER, "a call to make")
                self._idle -= 1
            if not self._calls:
                return
            future, fn, args, kwargs = self._calls.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    result = yield from call(fn, *args, **kwargs)
                except Deadlock:
                    raise
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
            scheduler.owed -= 1

    _work = waits(_work)

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._closed = True
        while cancel_futures and self._calls:
            self._calls.popleft()[0].cancel()
            scheduler.owed -= 1
        if wait:
            for thread in self._workers:
                yield from call(thread.join)

    shutdown = waits(shutdown)

    def __exit__(self, *error):
        self.shutdown()
        return False


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    yield Wait(lambda: False, scheduler.now + seconds, "time to pass") if seconds else turn()


def start_new_thread(function, args, kwargs=None):
    thread = Thread(target=function, args=args, kwargs=kwargs, daemon=True)
    thread.start()
    return thread.ident


def stack_size(size=0):
    # The stack of a thread is that of the interpreter.
    if size and size < 32768:
        raise ValueError("size not valid: %d bytes" % size)
    return 0


def alive():
    return [scheduler.main, *(task.thread for task in scheduler.tasks)]


def report(args):
    if sys.stderr is not None:
        print(f"Exception in thread {args.thread.name}:", file=sys.stderr)
        traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback, file=sys.stderr)


def shifted(clock, unit):
    """A clock that time spent asleep moves on."""

    def read():
        base = clock()
        return base + type(base)(scheduler.now * unit)

    return read


def install():
    """Puts these threads in the place of those of the standard library."""
    current = lambda: scheduler.current
    ident = lambda: scheduler.current.ident
    count = lambda: len(alive())
    main = lambda: scheduler.main
    names = dict(
        Thread=Thread, Timer=Timer, Lock=Lock, RLock=RLock, Condition=Condition, Semaphore=Semaphore,
        BoundedSemaphore=BoundedSemaphore, Event=Event, Barrier=Barrier, local=local, current_thread=current,
        currentThread=current, main_thread=main, get_ident=ident, get_native_id=ident, enumerate=alive,
        active_count=count, activeCount=count, stack_size=stack_size, excepthook=report, __excepthook__=report,
    )
    for name, thing in names.items():
        setattr(threading, name, thing)
    # The machinery of imports keeps the module that it has.
    low = sys.modules["_thread"] = types.ModuleType("_thread")
    vars(low).update(vars(_thread))
    vars(low).update(
        start_new_thread=start_new_thread, start_new=start_new_thread, allocate_lock=Lock, allocate=Lock,
        LockType=Lock, RLock=RLock, get_ident=ident, get_native_id=ident, stack_size=stack_size, _local=local,
    )
    for name, thing in dict(
        Queue=Queue, LifoQueue=LifoQueue, PriorityQueue=PriorityQueue, SimpleQueue=SimpleQueue, ShutDown=ShutDown,
    ).items():
        setattr(queue, name, thing)
    futures = concurrent.futures
    futures.ThreadPoolExecutor = futures.ProcessPoolExecutor = Executor
    futures.Future = Future
    time.sleep = waits(sleep)
    for name, unit in dict(time=1, monotonic=1, perf_counter=1, time_ns=10**9, monotonic_ns=10**9).items():
        setattr(time, name, shifted(getattr(time, name), unit))
    scheduler.reset()
