/* Direct reads of ints, floats, lists and tuples, where they have been proved right.
 *
 * A list of 100 000 numbers is encoded several times faster when each number does not cost two calls. The limited API has no
 * other way to a number than a call; but the objects themselves have been laid out the same for many releases:
 *
 *   float  object header, value
 *   list   object header, size, pointer to the items
 *   tuple  object header, size, (from 3.14 on: hash,) items
 *   int    object header, size, digits of 30 bits   up to 3.11; a negative int has a negative size
 *          object header, size << 3 | sign, digits  from 3.12 on; sign is 0 for plus, 1 for zero, 2 for minus
 *
 * Nothing is taken on trust. At import this file looks at objects whose contents it knows, and each kind of read is allowed
 * only if it gives the right answer for all of them, on a version that is known to have one of these layouts. Otherwise the coder
 * makes the calls. It never writes through these layouts but to a list or tuple that it has just made and filled with nothing.
 */
#include "common.h"

/* The last minor version whose layouts were read by a human; raise it after doing so. */
enum { LAST_KNOWN_MINOR = 14 };

static int known_version(void)
{
    PyObject *info = PySys_GetObject("hexversion"); /* borrowed */
    if (info == NULL) {
        return 0;
    }
    long version = PyLong_AsLong(info);
    if (version == -1 && PyErr_Occurred()) {
        return -1;
    }
    return (version >> 24) == 3 && ((version >> 16) & 0xff) <= LAST_KNOWN_MINOR;
}

static int probe_floats(Fast *fast)
{
    static const double samples[] = {0.0, -0.0, 1.0, -1.5, 3.141592653589793, 5e-324, 1.7976931348623157e308};
    bool right = true;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        PyObject *number = PyFloat_FromDouble(samples[i]);
        if (number == NULL) {
            return -1;
        }
        right = right && bits_of(fast_float(number)) == bits_of(samples[i]);
        Py_DECREF(number);
    }
    fast->floats = right;
    return 0;
}

/* Whether fast_int() as set up in `fast` reads every sample of one digit rightly, and refuses every longer one. */
static int ints_right(const Fast *fast)
{
    int right = 1;
    for (int shift = 0; shift < 62 && right == 1; shift++) {
        for (int delta = -3; delta <= 3 && right == 1; delta++) {
            for (int sign = -1; sign <= 1; sign += 2) {
                long long sample = sign * ((1LL << shift) + delta);
                PyObject *number = PyLong_FromLongLong(sample);
                if (number == NULL) {
                    return -1;
                }
                int32_t value = 0;
                bool small = sample > -(1LL << 30) && sample < (1LL << 30);
                if (fast_int(fast, number, &value) != small || (small && value != sample)) {
                    right = 0;
                }
                Py_DECREF(number);
            }
        }
    }
    return right;
}

static int probe_ints(Fast *fast)
{
    fast->signed_size = true;
    int right = ints_right(fast);
    if (right == 0) {
        fast->signed_size = false;
        fast->tagged_size = true;
        right = ints_right(fast);
    }
    if (right != 1) {
        fast->signed_size = fast->tagged_size = false;
    }
    return right < 0 ? -1 : 0;
}

static int probe_lists(Fast *fast)
{
    enum { LONGEST = 40 };
    bool right = true;
    PyObject *list = PyList_New(0);
    if (list == NULL) {
        return -1;
    }
    for (int size = 1; size <= LONGEST; size++) {
        PyObject *item = PyLong_FromLong(1000 + size);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_XDECREF(item);
            Py_DECREF(list);
            return -1;
        }
        Py_DECREF(item);
        /* The word before the pointer is the size: only an object that has both is looked into any further. */
        right = right && (Py_ssize_t)(intptr_t)fast_word(list, 2) == size;
        for (int i = 0; right && i < size; i++) {
            right = fast_list_items(list)[i] == PyList_GetItem(list, i);
        }
    }
    Py_DECREF(list);
    fast->lists = right;
    return 0;
}

static int probe_tuples(Fast *fast)
{
    enum { ITEMS = 8 };
    PyObject *tuple = PyTuple_New(ITEMS);
    if (tuple == NULL) {
        return -1;
    }
    for (int i = 0; i < ITEMS; i++) {
        PyObject *item = PyLong_FromLong(1000 + i);
        if (item == NULL) {
            Py_DECREF(tuple);
            return -1;
        }
        PyTuple_SetItem(tuple, i, item);
    }
    /* Items are inside the object, behind the size or behind one more word; the last sample is inside it either way. */
    for (int words = 3; words <= 4 && !fast->tuples; words++) {
        fast->tuple_items = words * (Py_ssize_t)sizeof(void *);
        fast->tuples = (Py_ssize_t)(intptr_t)fast_word(tuple, 2) == ITEMS;
        for (int i = 0; fast->tuples && i < ITEMS - 1; i++) {
            fast->tuples = fast_tuple_items(fast, tuple)[i] == PyTuple_GetItem(tuple, i);
        }
    }
    Py_DECREF(tuple);
    return 0;
}

static int same_attribute(PyTypeObject *type, const char *name)
{
    PyObject *ours = PyObject_GetAttrString((PyObject *)type, name);
    PyObject *theirs = PyObject_GetAttrString((PyObject *)&PyList_Type, name);
    int same = ours == NULL || theirs == NULL ? -1 : PyObject_RichCompareBool(ours, theirs, Py_EQ);
    Py_XDECREF(ours);
    Py_XDECREF(theirs);
    return same;
}

/* Whether a fresh list may become a List by a change of its type. That is what assigning to `__class__` does between classes of one
 * layout (it refuses builtin classes because their instances may be shared, which a list that nobody else has seen is not):
 * same size, no dict, no weak references. */
static int probe_relabel(State *state)
{
    static const char *const names[] = {"__basicsize__", "__itemsize__", "__dictoffset__", "__weakrefoffset__"};
    int same = 1;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && same == 1; i++) {
        same = same_attribute(state->list, names[i]);
    }
    state->fast.relabel = same == 1;
    return same < 0 ? -1 : 0;
}

/* Fills `state->fast`. -1 with an exception only when memory runs out or the like. */
int fast_probe(State *state)
{
    Fast *fast = &state->fast;
    memset(fast, 0, sizeof *fast);
#if defined(Py_GIL_DISABLED)
    /* Without the GIL another thread may change a list while it is read; the calls take care of that. */
    return 0;
#else
    int known = known_version();
    if (known <= 0) {
        return known;
    }
    if (probe_floats(fast) < 0 || probe_ints(fast) < 0 || probe_lists(fast) < 0 || probe_tuples(fast) < 0) {
        return -1;
    }
    return probe_relabel(state);
#endif
}
