// The turns of an event loop's tasks: how many calls one may make before others run, idle operations for these calls,
// and waking the tasks whose operations have finished.  The base of adapters: see _core/adapter.py.

#include "python.h"

#include <time.h>

#define ONE_MORE 2 // what it takes to wake a task: it is likely to make a call, which should not have to pause first

PyTypeObject    *turns_type;
static PyObject *running_loop; // asyncio's function, when the program has imported that
static PyObject *library;      // sniffio's record of whose task runs in a thread, when it has imported trio
static PyObject *trio_name, *name_name, *adapter_name, *run_name, *acquire_name, *release_name, *anew_name, *again_name;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double) ts.tv_sec + (double) ts.tv_nsec * 1e-9);
}

static PyObject *
clock_now(PyObject *module, PyObject *none)
{
	(void) module, (void) none;
	return (PyFloat_FromDouble(now()));
}

// Counts a call.  True when the task has had its turn.
static bool
count_call(turns *t)
{
	int budget = --t->budget;

	if (budget == t->full - 1) {
		t->ends = now() + t->seconds;
		return (false);
	}
	return (budget < 0 || now() > t->ends);
}

static PyObject *
pop_idle(turns *t)
{
	Py_ssize_t size = t->idle == NULL ? 0 : PyList_Size(t->idle);
	PyObject  *o;

	if (size == 0) {
		return (NULL);
	}
	o = PyList_GetItem(t->idle, size - 1);
	Py_INCREF(o);
	if (PyList_SetSlice(t->idle, size - 1, size, NULL) != 0) {
		PyErr_Clear();
		Py_DECREF(o);
		return (NULL);
	}
	((operation *) o)->idle = 0;
	return (o);
}

static PyObject *
turns_bind(PyObject *self, PyObject *arguments)
{
	turns    *t = (turns *) self;
	PyObject *queue;

	if (!PyArg_ParseTuple(arguments, "Oid", &queue, &t->full, &t->seconds)) {
		return (NULL);
	}
	if ((t->queue = PyLong_AsVoidPtr(queue)) == NULL && PyErr_Occurred()) {
		return (NULL);
	}
	t->budget = t->full;
	Py_RETURN_NONE;
}

static PyObject *
turns_over_budget(PyObject *self, PyObject *none)
{
	(void) none;
	return (PyBool_FromLong(count_call((turns *) self)));
}

static PyObject *
turns_take_idle(PyObject *self, PyObject *none)
{
	PyObject *o = pop_idle((turns *) self);

	(void) none;
	if (o == NULL) {
		Py_RETURN_NONE;
	}
	return (o);
}

// Takes up to `most` operations from the queue, and makes them ready, but for those that had been lent and are to
// be begun anew.  What its owner had abandoned is idle now.
static PyObject *
settle(turns *t, nngio_queue *q, int most)
{
	PyObject *finished = PyList_New(0);
	uint32_t  tags[NNGIO_BATCH];
	int       n;

	if (finished == NULL) {
		return (NULL);
	}
	n       = nngio_queue_settle(q, tags, most < NNGIO_BATCH ? most : NNGIO_BATCH);
	t->lent = 0;
	for (int i = 0; i < n; i++) {
		operation *o = (operation *) PyList_GetItem(t->operations, (Py_ssize_t) tags[i]);

		if (o == NULL) {
			Py_DECREF(finished);
			return (NULL);
		}
		if (o->stale) {
			o->stale = 0;
			operation_over((PyObject *) o, NULL, NULL);
			continue;
		}
		o->ready = !o->lent;
		t->lent |= o->lent;
		if (PyList_Append(finished, (PyObject *) o) != 0) {
			Py_DECREF(finished);
			return (NULL);
		}
	}
	return (finished);
}

static PyObject *
turns_settle(PyObject *self, PyObject *none)
{
	turns *t = (turns *) self;

	(void) none;
	return (t->queue != NULL ? settle(t, t->queue, t->full + 1) : PyList_New(0));
}

static int
call(PyObject *object, PyObject *name, PyObject *argument)
{
	PyObject *done = PyObject_CallMethodObjArgs(object, name, argument, NULL);

	Py_XDECREF(done);
	return (done != NULL ? 0 : -1);
}

// Leaves operations that have been settled, and whose tasks the turn had no time for, for the next turn.  No signal handler
// can run meanwhile.
static void
put_back(turns *t, PyObject *finished, Py_ssize_t from)
{
	for (Py_ssize_t i = PyList_Size(finished) - 1; i >= from; i--) {
		operation *o = (operation *) PyList_GetItem(finished, i);

		if (o != NULL && t->queue != NULL && (o->ready || o->lent)) {
			o->ready = 0;
			nngio_queue_put_back(t->queue, &o->op, 1);
		}
	}
}

// Wakes the tasks that wait for these futures, for as long as the turn lasts; what is left then, or when one of them
// raises what ends the loop, is put back.  Returns 1 if the turn was over before, -1 for an exception.
static int
wake(turns *t, PyObject *finished, double until)
{
	Py_ssize_t size = PyList_Size(finished);

	t->ends = until;
	for (Py_ssize_t i = 0; i < size; i++) {
		PyObject *object = PyList_GetItem(finished, i), *wakeup, *context, *done;
		future   *f      = (future *) object;

		if (f == NULL || !PyType_IsSubtype(Py_TYPE(object), future_type)) {
			PyErr_SetString(PyExc_TypeError, "this is no future");
			return (-1);
		}
		if (f->wakeup == NULL || !f->base.ready) {
			continue; // its task was interrupted
		}
		wakeup     = f->wakeup;
		context    = f->context;
		f->wakeup  = NULL;
		f->context = NULL;
		done       = PyObject_CallMethodObjArgs(context, run_name, wakeup, object, NULL);
		Py_DECREF(wakeup);
		Py_DECREF(context);
		if (done == NULL) {
			put_back(t, finished, i + 1);
			return (-1);
		}
		Py_DECREF(done);
		t->budget--;
		if (i + 1 < size && (t->budget < ONE_MORE || now() > until)) { // a task may have begun a new turn for itself
			put_back(t, finished, i + 1);
			return (1);
		}
	}
	return (0);
}

// One batch from the queue to its tasks.  Returns as `wake` does.
static int
drain(turns *t, nngio_queue *q, double until)
{
	PyObject *finished;
	int       rv;

	// A thread that finds the loop standing still takes this lock to lend.
	if (call(t->lock, acquire_name, NULL) != 0) {
		nngio_queue_wake(q);
		return (-1);
	}
	finished = settle(t, q, t->nests ? 1 : t->budget / ONE_MORE); // a loop within the loop sees to the others
	if (call(t->lock, release_name, NULL) != 0 || finished == NULL) {
		Py_XDECREF(finished);
		return (-1);
	}
	if (t->lent) {
		PyObject *back = PyObject_CallMethodObjArgs((PyObject *) t, anew_name, finished, NULL);
		if (back == NULL) {
			put_back(t, finished, 0);
		}
		Py_DECREF(finished);
		if ((finished = back) == NULL) {
			return (-1);
		}
	}
	rv = wake(t, finished, until);
	Py_DECREF(finished);
	return (rv);
}

// Whether something waits for its turn in the loop, as far as that can be seen.
static bool
others_wait(turns *t)
{
	Py_ssize_t size = t->paused != 0 ? t->paused : t->others == NULL || t->others == Py_None ? 0 : PyObject_Size(t->others);

	if (size < 0) {
		PyErr_Clear();
	}
	return (size != 0);
}

// A task may have closed the adapter, and the queue with it.
static void
leave(turns *t, nngio_queue *q)
{
	if (t->queue == q) {
		nngio_queue_leave(q);
	}
}

// What a loop calls when the queue's descriptor is readable: wakes the tasks whose operations have finished.  While
// nothing else is ready to run, and the turn lasts, it waits a moment for more, which spares the loop a round.
static PyObject *
turns_serve(PyObject *self, PyObject *none)
{
	turns       *t     = (turns *) self;
	nngio_queue *q     = t->queue;
	double       until = now() + t->seconds;
	bool         woke  = false, more;

	(void) none;
	if (q == NULL || nngio_forked()) {
		Py_RETURN_NONE; // a callback that was left in a loop which has been closed, or is the parent's
	}
	t->budget = t->full;
	do {
		int budget = t->budget, rv;
		if (!t->nests) {
			nngio_queue_mind(q); // it isn't a loop within the loop that sleeps before this is over
		}
		if ((rv = drain(t, q, until)) < 0) {
			leave(t, q);
			return (NULL);
		}
		woke |= t->budget != budget;
		if (rv != 0 || t->queue == NULL) {
			break; // what was put back has made the descriptor readable
		}
		if (others_wait(t) || t->budget < ONE_MORE || now() > until) {
			if (woke && !t->posted && nngio_queue_attends(q)) {
				if (call(self, again_name, NULL) != 0) {
					leave(t, q);
					return (NULL);
				}
				t->posted = 1;
			}
			break;
		}
		if (!(more = nngio_queue_finds(q))) {
			Py_BEGIN_ALLOW_THREADS more = nngio_queue_attend(q);
			Py_END_ALLOW_THREADS
		}
	} while (more);
	leave(t, q);
	Py_RETURN_NONE;
}

// The same, by a callback that it had the loop make.
static PyObject *
turns_serve_more(PyObject *self, PyObject *none)
{
	((turns *) self)->posted = 0;
	return (turns_serve(self, none));
}

static int
turns_traverse(PyObject *self, visitproc visit, void *arg)
{
	turns *t = (turns *) self;

	Py_VISIT(Py_TYPE(self));
	Py_VISIT(t->operations);
	Py_VISIT(t->idle);
	Py_VISIT(t->lock);
	Py_VISIT(t->others);
	return (0);
}

static int
turns_clear(PyObject *self)
{
	turns *t = (turns *) self;

	Py_CLEAR(t->operations);
	Py_CLEAR(t->idle);
	Py_CLEAR(t->lock);
	Py_CLEAR(t->others);
	return (0);
}

static void
turns_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_GC_UnTrack(self);
	(void) turns_clear(self);
	((freefunc) PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static PyMethodDef turns_methods[] = {
	{ "bind", turns_bind, METH_VARARGS, "Set the address of the queue (0: there is none), the calls of a turn and its seconds." },
	{ "over_budget", turns_over_budget, METH_NOARGS,
	    "Count a call; True when the task has had its turn, and has to `pause` first." },
	{ "take_idle", turns_take_idle, METH_NOARGS, "An idle operation, or None." },
	{ "settle", turns_settle, METH_NOARGS, "Take a batch of operations from the queue." },
	{ "serve", turns_serve, METH_NOARGS, "Wake the tasks that wait for futures whose operations have finished." },
	{ "serve_more", turns_serve_more, METH_NOARGS, "What `serve_again` asks the loop to call soon." },
	{ NULL, NULL, 0, NULL },
};
static PyMemberDef turns_members[] = {
	{ "operations", T_OBJECT_EX, offsetof(turns, operations), 0, "All of the adapter's, by tag." },
	{ "idle", T_OBJECT_EX, offsetof(turns, idle), 0, "Those that are not in use; the last to come back is the first to be taken." },
	{ "others", T_OBJECT_EX, offsetof(turns, others), 0, "What waits for its turn in the loop, or None where that can't be seen." },
	{ "_lock", T_OBJECT_EX, offsetof(turns, lock), 0, "Held where a thread lends what the loop has, and where the loop takes it." },
	{ "paused", T_INT, offsetof(turns, paused), 0, "How many tasks wait in `pause`." },
	{ "budget", T_INT, offsetof(turns, budget), 0, "How many calls the turn has left." },
	{ "turn_ends", T_DOUBLE, offsetof(turns, ends), 0, "When the turn is over at the latest, by `clock`." },
	{ "nests", T_BOOL, offsetof(turns, nests), 0, "Whether a task may run the loop, as nest_asyncio lets it." },
	{ "some_lent", T_BOOL, offsetof(turns, lent), READONLY, "Whether one of those that were settled last had been lent." },
	{ NULL, 0, 0, 0, NULL },
};
static PyType_Slot turns_slots[] = {
	{ Py_tp_traverse, turns_traverse },
	{ Py_tp_clear, turns_clear },
	{ Py_tp_dealloc, turns_dealloc },
	{ Py_tp_methods, turns_methods },
	{ Py_tp_members, turns_members },
	{ 0, NULL },
};
static PyType_Spec turns_spec = {
	.name      = "nngio._python.Turns",
	.basicsize = sizeof(turns),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots     = turns_slots,
};

// Whether the caller may be a task of trio's, which may run inside of asyncio.
static bool
may_be_trio(void)
{
	PyObject *name;
	int       is_trio;

	if (PyDict_GetItemWithError(PyImport_GetModuleDict(), trio_name) == NULL) {
		return (false);
	}
	if (library == NULL || (name = PyObject_GetAttr(library, name_name)) == NULL) {
		PyErr_Clear();
		return (true);
	}
	is_trio = name != Py_None && PyObject_RichCompareBool(name, trio_name, Py_EQ) != 0;
	Py_DECREF(name);
	return (is_trio);
}

// An idle operation of the loop that runs the caller, if that is one of asyncio's and the caller still has its
// turn; NULL when Python has to see to it.
PyObject *
take_now(void)
{
	PyObject *loop, *adapter, *o = NULL;

	if (running_loop == NULL || may_be_trio()) {
		return (NULL);
	}
	if ((loop = PyObject_CallNoArgs(running_loop)) == NULL) {
		return (NULL);
	}
	adapter = loop == Py_None ? NULL : PyObject_GetAttr(loop, adapter_name);
	Py_DECREF(loop);
	if (adapter == NULL) {
		PyErr_Clear();
		return (NULL);
	}
	if (PyType_IsSubtype(Py_TYPE(adapter), turns_type)) {
		turns *t = (turns *) adapter;
		if (count_call(t) || (o = pop_idle(t)) == NULL) {
			t->budget++; // Python counts it
		}
	}
	Py_DECREF(adapter);
	return (o);
}

static PyObject *
turns_take_now(PyObject *module, PyObject *none)
{
	PyObject *o = take_now();

	(void) module, (void) none;
	if (o == NULL && !PyErr_Occurred()) {
		Py_RETURN_NONE;
	}
	return (o);
}

static PyObject *
set_running_loop(PyObject *module, PyObject *function)
{
	(void) module;
	Py_INCREF(function);
	Py_XDECREF(running_loop);
	running_loop = function;
	Py_RETURN_NONE;
}

static PyObject *
set_library(PyObject *module, PyObject *record)
{
	(void) module;
	Py_INCREF(record);
	Py_XDECREF(library);
	library = record;
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{ "clock", clock_now, METH_NOARGS, "Seconds, of the clock that turns go by." },
	{ "take_now", turns_take_now, METH_NOARGS,
	    "An idle operation of the loop of asyncio's that runs the caller, whose call is counted; None when Python has to see to it." },
	{ "set_running_loop", set_running_loop, METH_O, "Set the function that returns asyncio's running loop or None." },
	{ "set_library", set_library, METH_O, "Set what has the name of the library whose task runs in the thread." },
	{ NULL, NULL, 0, NULL },
};

int
add_turns(PyObject *module)
{
	if (trio_name == NULL) {
		trio_name     = PyUnicode_InternFromString("trio");
		name_name     = PyUnicode_InternFromString("name");
		adapter_name  = PyUnicode_InternFromString("_nngio");
		run_name      = PyUnicode_InternFromString("run");
		acquire_name  = PyUnicode_InternFromString("acquire");
		release_name  = PyUnicode_InternFromString("release");
		anew_name     = PyUnicode_InternFromString("begin_anew");
		again_name    = PyUnicode_InternFromString("serve_again");
	}
	return (PyErr_Occurred() || add_type(module, "Turns", &turns_type, &turns_spec, NULL) != 0
	        ? -1
	        : PyModule_AddFunctions(module, functions));
}
