// The turns of an event loop's tasks: how many calls one may make before others run, idle operations for these calls,
// and waking the tasks whose operations have finished.  The base of adapters: see _core/adapter.py.

#include "python.h"

#include <time.h>

PyTypeObject    *turns_type;
static PyObject *running_loop; // asyncio's function, when the program has imported that
static PyObject *trio_name, *adapter_name, *run_name, *put_back_name;

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
	PyObject *idle;

	if (!PyArg_ParseTuple(arguments, "O!id", &PyList_Type, &idle, &t->full, &t->seconds)) {
		return (NULL);
	}
	t->idle   = idle;
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
turns_settle(PyObject *self, PyObject *arguments)
{
	turns    *t = (turns *) self;
	PyObject *queue, *operations, *finished;
	uint32_t  tags[NNGIO_BATCH];
	int       most, n;

	if (!PyArg_ParseTuple(arguments, "OO!i", &queue, &PyList_Type, &operations, &most) ||
	    (finished = PyList_New(0)) == NULL) {
		return (NULL);
	}
	n       = nngio_queue_settle(PyLong_AsVoidPtr(queue), tags, most < NNGIO_BATCH ? most : NNGIO_BATCH);
	t->lent = 0;
	for (int i = 0; i < n; i++) {
		operation *o = (operation *) PyList_GetItem(operations, (Py_ssize_t) tags[i]);

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

static int
put_back(PyObject *self, PyObject *finished, Py_ssize_t from)
{
	PyObject *rest = PyList_GetSlice(finished, from, PyList_Size(finished)), *done = NULL;

	if (rest != NULL) {
		done = PyObject_CallMethodObjArgs(self, put_back_name, rest, NULL);
		Py_DECREF(rest);
	}
	Py_XDECREF(done);
	return (done != NULL ? 0 : -1);
}

// Wakes the tasks that wait for these futures, for as long as the turn lasts; what is left then, or when one of them
// raises what ends the loop, is put back.
static PyObject *
turns_wake(PyObject *self, PyObject *finished)
{
	turns     *t     = (turns *) self;
	double     until = now() + t->seconds;
	Py_ssize_t size  = PyList_Size(finished);

	t->ends = until;
	for (Py_ssize_t i = 0; i < size; i++) {
		PyObject *object = PyList_GetItem(finished, i), *wakeup, *context, *done;
		future   *f      = (future *) object;

		if (f == NULL || !PyType_IsSubtype(Py_TYPE(object), future_type)) {
			PyErr_SetString(PyExc_TypeError, "this is no future");
			return (NULL);
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
			PyObject *type, *value, *traceback;
			PyErr_Fetch(&type, &value, &traceback);
			if (put_back(self, finished, i + 1) != 0) {
				PyErr_WriteUnraisable(self);
			}
			PyErr_Restore(type, value, traceback);
			return (NULL);
		}
		Py_DECREF(done);
		t->budget--;
		if (t->budget < 0 || now() > until) { // a task that was woken may have begun a new turn for itself
			if (put_back(self, finished, i + 1) != 0) {
				return (NULL);
			}
			break;
		}
	}
	Py_RETURN_NONE;
}

static PyMethodDef turns_methods[] = {
	{ "bind", turns_bind, METH_VARARGS, "Set the list of idle operations, which the adapter keeps, the calls of a turn and its seconds." },
	{ "over_budget", turns_over_budget, METH_NOARGS,
	    "Count a call; True when the task has had its turn, and has to `pause` first." },
	{ "take_idle", turns_take_idle, METH_NOARGS, "An idle operation, or None." },
	{ "settle", turns_settle, METH_VARARGS, "Take operations from the queue at an address, those with their tags' numbers in a list." },
	{ "wake", turns_wake, METH_O, "Wake the tasks that wait for a list of futures." },
	{ NULL, NULL, 0, NULL },
};
static PyMemberDef turns_members[] = {
	{ "budget", T_INT, offsetof(turns, budget), 0, "How many calls the turn has left." },
	{ "turn_ends", T_DOUBLE, offsetof(turns, ends), 0, "When the turn is over at the latest, by `clock`." },
	{ "some_lent", T_BOOL, offsetof(turns, lent), READONLY, "Whether one of those that were settled last had been lent." },
	{ NULL, 0, 0, 0, NULL },
};
static PyType_Slot turns_slots[] = {
	{ Py_tp_methods, turns_methods },
	{ Py_tp_members, turns_members },
	{ 0, NULL },
};
static PyType_Spec turns_spec = {
	.name      = "nngio._python.Turns",
	.basicsize = sizeof(turns),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots     = turns_slots,
};

// An idle operation of the loop that runs the caller, if that is one of asyncio's and the caller still has its
// turn; None when Python has to see to it.
static PyObject *
take_now(PyObject *module, PyObject *none)
{
	PyObject *loop, *adapter, *o = NULL;

	(void) module, (void) none;
	if (running_loop == NULL || PyDict_GetItemWithError(PyImport_GetModuleDict(), trio_name) != NULL) {
		Py_RETURN_NONE;
	}
	if ((loop = PyObject_CallNoArgs(running_loop)) == NULL) {
		return (NULL);
	}
	adapter = loop == Py_None ? NULL : PyObject_GetAttr(loop, adapter_name);
	Py_DECREF(loop);
	if (adapter == NULL) {
		PyErr_Clear();
		Py_RETURN_NONE;
	}
	if (PyType_IsSubtype(Py_TYPE(adapter), turns_type)) {
		turns *t = (turns *) adapter;
		if (count_call(t) || (o = pop_idle(t)) == NULL) {
			t->budget++; // Python counts it
		}
	}
	Py_DECREF(adapter);
	if (o == NULL) {
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

static PyMethodDef functions[] = {
	{ "clock", clock_now, METH_NOARGS, "Seconds, of the clock that turns go by." },
	{ "take_now", take_now, METH_NOARGS,
	    "An idle operation of the loop of asyncio's that runs the caller, whose call is counted; None when Python has to see to it." },
	{ "set_running_loop", set_running_loop, METH_O, "Set the function that returns asyncio's running loop or None." },
	{ NULL, NULL, 0, NULL },
};

int
add_turns(PyObject *module)
{
	if (put_back_name == NULL) {
		trio_name     = PyUnicode_InternFromString("trio");
		adapter_name  = PyUnicode_InternFromString("_nngio");
		run_name      = PyUnicode_InternFromString("run");
		put_back_name = PyUnicode_InternFromString("put_back");
	}
	return (PyErr_Occurred() || add_type(module, "Turns", &turns_type, &turns_spec, NULL) != 0
	        ? -1
	        : PyModule_AddFunctions(module, functions));
}
