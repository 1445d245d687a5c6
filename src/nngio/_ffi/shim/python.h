// Shared by the files that use Python's API.

#ifndef NNGIO_PYTHON_H
#define NNGIO_PYTHON_H

#include <Python.h>
#include <string.h>
#include <structmember.h>

#include "internal.h"

enum owned {
	OWN_BOX,
	OWN_HANDLE,
	OWN_OPERATION,
	OWN_WATCH,
	OWN_ADMISSION,
	OWN_DEVICE,
	OWN_STREAM,
	OWN_HTTP,
	OWN_HTTP_MESSAGE,
	OWN_HTTP_SERVER,
};

// A slot: an operation that a thread waits for, from C's pool and back.  The object that a loop's operation has in
// Python begins like one.
typedef struct {
	PyObject_HEAD
	nngio_op *op;
} slot;

typedef struct turns turns;

// The base of a loop's operations.
typedef struct {
	PyObject_HEAD
	nngio_op *op;      // which `owner` owns
	turns    *turns;   // the adapter
	PyObject *owner, *adapter, *c, *handle, *weak;
	int       ms;
	char      ready, stale, lent, aborted;
	char      idle; // in the list of those
} operation;

enum errand {
	NO_ERRAND = 0, // whoever awaits it has begun it, and sees to its result
	SENDS,
	RECEIVES,
};

// One that a task of asyncio's takes for a future.
typedef struct {
	operation     base;
	PyObject     *loop, *wakeup, *context, *message;
	PyObject     *channel, *data; // of an errand
	nngio_handle *h;              // the channel's
	char          errand, begun;
	char          suspended, blocking, cancelled;
} future;

// The base of adapters.
struct turns {
	PyObject_HEAD
	nngio_queue *queue;      // NULL when the adapter is closed
	PyObject    *operations; // a list, by tag
	PyObject    *idle;       // a list of those that are
	PyObject    *lock;       // held where a thread lends what the loop has, and where the loop takes it
	PyObject    *others;     // what waits for its turn in the loop, or None where that can't be seen
	int          paused;     // tasks that gave way
	int          full;       // calls of a turn, after its first
	int          budget;
	double       seconds; // of a turn
	double       ends;
	char         posted; // the loop will call
	char         lent; // one of those that were settled last had been lent
	char         nests; // a task may run the loop within itself
};

#define FAST(function) ((PyCFunction) (void (*)(void)) (function))

// python.c
void *owned_pointer(PyObject *object, enum owned kind); // TypeError if it owns something else
int   add_type(PyObject *module, const char *name, PyTypeObject **type, PyType_Spec *spec, PyTypeObject *base);

// verbs.c
int       begin_send_bytes(nngio_op *op, nngio_handle *h, PyObject *data, int ms); // -1 and an exception: no bytes
PyObject *body_of(nngio_op *op);
int       add_verbs(PyObject *module);

// futures.c
extern PyTypeObject *operation_type, *future_type;
int          operation_over(PyObject *self, PyObject *value, void *closure);
PyObject    *errand_new(PyObject *channel, nngio_handle *h, PyObject *data, int ms, enum errand kind);
PySendResult future_send(PyObject *self, PyObject *argument, PyObject **result);
PyObject    *future_throw(PyObject *self, PyObject *arguments);
void              future_forsake(PyObject *self);
PyObject    *raise_thrown(PyObject *arguments);
int          add_operations(PyObject *module);

// coroutine.c
int add_coroutines(PyObject *module);

// turns.c
extern PyTypeObject *turns_type;
PyObject *take_now(void); // or NULL, perhaps with an exception
int add_turns(PyObject *module);

#endif
