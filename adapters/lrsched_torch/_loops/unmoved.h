// Tells whether many tensors still lie where a table says, through functions of PyTorch's C interface. A tensor is told
// by the address of its `at::Tensor`, which lies in the Python object; each function returns an error code, 0 without
// one. `unmoved.py` builds this text and says where the tensors are; the pass that may follow is one of `walk.h`.
#include <cstdint>

struct Torch {
  const void* (*gradient)(const void* implementation);  // `c10::TensorImpl::grad`: the `at::Tensor`
  int32_t (*is_defined)(const void*, bool*);
  int32_t (*is_contiguous)(const void*, bool*);
  int32_t (*layout)(const void*, int32_t*);
  int32_t (*device)(const void*, int32_t*);
  int32_t (*dtype)(const void*, int32_t*);
  int32_t (*numel)(const void*, int64_t*);
  int32_t (*address)(const void*, void**);
  int32_t (*hold)(const void*, void**);  // makes another `at::Tensor` of the same memory, for `release`
  int32_t (*release)(void*);
  void (*bump)(const void*);  // `torch::autograd::impl::bump_version`; throws
  // Of Python; what they return is borrowed.
  const void* (*item)(const void* dictionary, const void* key);
  int (*put)(const void* dictionary, const void* key, const void* content);
  int64_t (*entries)(const void* dictionary);
  int (*next)(const void* dictionary, int64_t* place, const void** key, const void** content);
  int64_t (*length)(const void* list);
  const void* (*element)(const void* list, int64_t index);

  bool lies(const void* tensor, int64_t at) const {
    void* found;
    return !address(tensor, &found) && int64_t(found) == at;
  }
  bool is_plain(const void* tensor, int64_t size) const {
    bool contiguous;
    int64_t elements;
    return !numel(tensor, &elements) && elements == size && !is_contiguous(tensor, &contiguous) && contiguous;
  }
  int32_t kind(const void* tensor, int32_t (*of)(const void*, int32_t*)) const {
    int32_t found;
    return of(tensor, &found) ? -1 : found;
  }
  // The gradient of a leaf, as far as it is a plain one of this dtype beside its parameter; else null.
  const void* plain_gradient(const void* leaf, int64_t size, int32_t dtype_) const {
    const void* g = gradient(*static_cast<void* const*>(leaf));
    bool defined;
    if (!g || is_defined(g, &defined) || !defined) return nullptr;
    if (kind(g, layout) != kind(leaf, layout) || kind(g, device) != kind(leaf, device)) return nullptr;
    return kind(g, dtype) == dtype_ && is_plain(g, size) ? g : nullptr;
  }
};

// What a list of members keeps: in row r of `tensors` the entry `names[r]` of each state, or the leaf itself if it has
// no name; row r lies where row `rows[r]` of the table says.
struct Members {
  int64_t count, kept;
  const void* const* leaves;   // (count,)
  const void* const* states;   // (count,)
  const void* const* names;    // (kept,)
  const void* const* tensors;  // (kept, count)
  const int64_t* rows;         // (kept,)
  int64_t head;                // bytes of a Python object in front of its tensor
  const void* counted;         // under which name each state has the object `counts[keys[i]]`
  const int32_t* keys;         // (count,)
  const void* const* counts;
};

// Lists and a dictionary of Python with what they held.
struct Holders {
  int64_t count;
  const void* const* lists;  // (count,)
  const int64_t* sizes;      // (count,)
  const void* const* items;  // of all lists
  const void* dictionary;
  int64_t entries;
  const void* const* keys;      // (entries,)
  const void* const* contents;  // (entries,)
};

// The one pass of a rule, as `walk.h` takes it.
struct OnlyPass {
  void (*run)(int64_t, const void*, const void*, const void*, int64_t, const void*, void*, void*, int);
  int64_t count;
  const void *table, *sizes, *keys;
  int64_t groups;
  const void* scalars;
  void *known, *totals;
  int64_t threads;
};

extern "C" {

bool lie(const Torch* torch, int64_t count, const void* const* tensors, const int64_t* at) {
  for (int64_t i = 0; i < count; i++)
    if (!torch->lies(tensors[i], at[i])) return false;
  return true;
}

bool hold(const Torch* torch, const Holders* holders) {
  const void* const* item = holders->items;
  for (int64_t i = 0; i < holders->count; i++) {
    const void* list = holders->lists[i];
    if (torch->length(list) != holders->sizes[i]) return false;
    for (int64_t j = 0; j < holders->sizes[i]; j++)
      if (torch->element(list, j) != *item++) return false;
  }
  if (torch->entries(holders->dictionary) != holders->entries) return false;
  const void *key, *content;
  for (int64_t i = 0, place = 0; torch->next(holders->dictionary, &place, &key, &content); i++)
    if (key != holders->keys[i] || content != holders->contents[i]) return false;
  return true;
}

void count(const Torch* torch, const Members* members) {
  for (int64_t i = 0; i < members->count; i++)
    torch->put(members->states[i], members->counted, members->counts[members->keys[i]]);
}

int32_t dtype_of(const Torch* torch, const void* tensor) { return torch->kind(tensor, torch->dtype); }

void release(const Torch* torch, int64_t count, void** held) {
  for (int64_t i = 0; i < count; i++) torch->release(held[i]);
}

// Whether everything but the gradients is where the table says, and each leaf has a gradient as before. Then row `g` of
// the table says where they are, autograd is told that the leaves change, and the pass runs; without one, the gradients
// are held for what follows.
bool again(const Torch* torch, const Members* members, const int64_t* sizes, int64_t* table, int64_t g, int32_t dtype,
           void** held, const OnlyPass* pass) {
  const int64_t count = members->count;
  for (int64_t i = 0; i < count; i++) {
    bool fits = torch->is_plain(members->leaves[i], sizes[i]) &&
                torch->item(members->states[i], members->counted) == members->counts[members->keys[i]];
    for (int64_t r = 0; fits && r < members->kept; r++) {
      const void* tensor = members->tensors[r * count + i];
      if (members->names[r]) {
        const void* object = torch->item(members->states[i], members->names[r]);
        fits = object && static_cast<const char*>(object) + members->head == tensor;
      }
      fits = fits && torch->lies(tensor, table[members->rows[r] * count + i]);
    }
    const void* gradient = fits ? torch->plain_gradient(members->leaves[i], sizes[i], dtype) : nullptr;
    void* found;
    if (!gradient || torch->address(gradient, &found) || (!pass && torch->hold(gradient, held + i))) {
      if (!pass) release(torch, i, held);
      return false;
    }
    table[g * count + i] = int64_t(found);
  }
  try {
    for (int64_t i = 0; i < count; i++) torch->bump(members->leaves[i]);
  } catch (...) {
    if (!pass) release(torch, count, held);
    return false;
  }
  if (pass)
    pass->run(pass->count, pass->table, pass->sizes, pass->keys, pass->groups, pass->scalars, pass->known,
              pass->totals, int(pass->threads));
  return true;
}
}
