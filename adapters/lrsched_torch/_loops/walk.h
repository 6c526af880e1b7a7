// Walks over a list of tensors where they lie.
//
// A tensor enters as a column of addresses (`List::find`). If the rule has nothing for it alone, its borders do not
// matter: each thread takes an equal share of all elements (`pieces`). Else a small tensor goes to one thread, which
// takes it through all passes of the stage while the cache has it (`alone`), and a large one to all threads, chunk by
// chunk (`together`). What is written goes to the addresses; sums go to `known`, where the next pass of this tensor
// finds them, or to `totals`, which `cpp_loops.py` hands to the next stage. A sum is added up by chunks of fixed length
// and in a fixed order, so that it does not depend on the number of threads.
//
// Before this text stand the type W in which elements are computed and the numbers ARRAYS (of each tensor), SCALARS (of
// each key) and KNOWN (sums of each tensor); after it the passes of a rule:
//
//   struct Pass {
//     struct Key;                            what tensors of one learning rate, step and rank have in common
//     struct Own;                            what one tensor needs for itself
//     static constexpr int SUMS, GIVES, PLACE;   sums to add up; results; where these go among the known sums
//     static constexpr bool TOTAL;           whether the results are summed over all tensors instead
//     static Key key(const double* scalars);
//     static Own own(const Key&, const double* known, void* const* at);
//     static void wide(const Key&, const Own&, void* const* at, int64_t begin, int64_t end, double* sums);
//     static void after(const Key&, const Own&, void* const* at, const double* sums, double* results);
//   };
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#else
static inline int omp_get_num_threads() { return 1; }
static inline int omp_get_thread_num() { return 0; }
#endif

struct bfloat16 {
  uint16_t bits;
};

template <class T, class S>
static inline T load(const S& x) {
  return T(x);
}
template <>
inline float load<float, bfloat16>(const bfloat16& x) {
  const uint32_t wide = uint32_t(x.bits) << 16;
  float y;
  std::memcpy(&y, &wide, 4);
  return y;
}
template <>
inline double load<double, bfloat16>(const bfloat16& x) {
  return load<float, bfloat16>(x);
}

template <class T, class S>
static inline void store(S* at, T x) {
  *at = S(x);
}
template <>
inline void store<float, bfloat16>(bfloat16* at, float x) {
  uint32_t wide;
  std::memcpy(&wide, &x, 4);
  const uint32_t even = wide + 0x7fff + ((wide >> 16) & 1);  // to the nearest, ties to even
  at->bits = x != x ? uint16_t(0x7fc0) : uint16_t(even >> 16);
}
template <>
inline void store<double, bfloat16>(bfloat16* at, double x) {
  store<float, bfloat16>(at, float(x));
}

// NaN stays NaN.
template <class T>
static inline T larger(T a, T b) {
  return a != a ? a : (b > a || b != b) ? b : a;
}
template <class T>
static inline T smaller(T a, T b) {
  return a != a ? a : (b < a || b != b) ? b : a;
}

// The elements that one thread takes at a time, and the most of a tensor that one thread updates alone, so that a second
// pass finds it in the cache.
constexpr int64_t CHUNK = 1 << 13, SMALL = 1 << 15;

struct List {
  int64_t count;
  void* const* at;       // (ARRAYS, count)
  const int64_t* size;   // (count,)
  const int32_t* key;    // (count,)
  int64_t keys;
  const double* scalars; // (keys, SCALARS)
  double* known;         // (count, KNOWN)
  double* totals;
  int threads;

  int64_t elements() const {
    int64_t sum = 0;
    for (int64_t t = 0; t < count; t++) sum += size[t];
    return sum;
  }
  int64_t longest() const { return count ? *std::max_element(size, size + count) : 0; }
  void find(int64_t t, void** found) const {
    for (int a = 0; a < ARRAYS; a++) found[a] = at[a * count + t];
  }
};

template <class P>
static std::vector<typename P::Key> keys_of(const List& list) {
  std::vector<typename P::Key> found;
  for (int64_t i = 0; i < list.keys; i++) found.push_back(P::key(list.scalars + i * SCALARS));
  return found;
}

// One pass in which no tensor needs anything for itself: each thread takes as many elements as the others.
template <class P>
static void pieces(const List& list) {
  const auto keys = keys_of<P>(list);
  const int64_t all = list.elements();
  #pragma omp parallel num_threads(all < SMALL ? 1 : list.threads)
  {
    const int64_t n = omp_get_num_threads(), me = omp_get_thread_num();
    // In steps of 64 elements, so that within a large tensor no two threads write into one line of the cache.
    const int64_t from = all * me / n / 64 * 64, to = me == n - 1 ? all : all * (me + 1) / n / 64 * 64;
    const typename P::Own own{};
    void* at[ARRAYS];
    int64_t start = 0;
    for (int64_t t = 0; t < list.count && start < to; start += list.size[t++]) {
      const int64_t begin = std::max(from - start, int64_t(0)), end = std::min(to - start, list.size[t]);
      if (begin >= end) continue;
      list.find(t, at);
      P::wide(keys[list.key[t]], own, at, begin, end, nullptr);
    }
  }
}

template <class P>
static double* results(const List& list, int64_t t, double* totals) {
  return P::TOTAL ? totals + t * P::GIVES : list.known + t * KNOWN + P::PLACE;
}

// A pass over one tensor by one thread.
template <class P>
static void alone(const List& list, const std::vector<typename P::Key>& keys, int64_t t, void* const* at,
                  double* totals) {
  const auto& key = keys[list.key[t]];
  const auto own = P::own(key, list.known + t * KNOWN, at);
  double sums[P::SUMS] = {};
  for (int64_t begin = 0; begin < list.size[t]; begin += CHUNK) {
    double part[P::SUMS] = {};
    P::wide(key, own, at, begin, std::min(begin + CHUNK, list.size[t]), part);
    for (int j = 0; j < P::SUMS; j++) sums[j] += part[j];
  }
  P::after(key, own, at, sums, results<P>(list, t, totals));
}

// A pass over one tensor by all threads, each on the same chunks in every pass. Every other pass goes backwards, through
// what the cache still has.
template <class P>
static void together(const List& list, const std::vector<typename P::Key>& keys, int64_t t, void* const* at,
                     double* parts, double* totals, bool backwards) {
  const int64_t n = omp_get_num_threads(), me = omp_get_thread_num();
  const int64_t chunks = (list.size[t] + CHUNK - 1) / CHUNK, from = chunks * me / n, to = chunks * (me + 1) / n;
  const auto& key = keys[list.key[t]];
  const auto own = P::own(key, list.known + t * KNOWN, at);
  for (int64_t i = from; i < to; i++) {
    const int64_t c = backwards ? to - 1 - (i - from) : i;
    double* part = parts + c * P::SUMS;
    std::fill(part, part + P::SUMS, 0.0);
    P::wide(key, own, at, c * CHUNK, std::min((c + 1) * CHUNK, list.size[t]), part);
  }
  #pragma omp barrier
  #pragma omp single
  {
    double sums[P::SUMS] = {};
    for (int64_t c = 0; c < chunks; c++)
      for (int j = 0; j < P::SUMS; j++) sums[j] += parts[c * P::SUMS + j];
    P::after(key, own, at, sums, results<P>(list, t, totals));
  }
}

// Passes of which each needs the sums of the one before: small tensors by one thread each, large ones by all. The last
// pass may end in totals.
template <class... P>
static void tensors(const List& list) {
  const std::tuple<std::vector<typename P::Key>...> keys{keys_of<P>(list)...};
  using Last = std::tuple_element_t<sizeof...(P) - 1, std::tuple<P...>>;
  std::vector<double> totals(list.count * Last::GIVES);
  std::vector<double> parts((list.longest() + CHUNK - 1) / CHUNK * std::max({P::SUMS...}));
  #pragma omp parallel num_threads(list.elements() < SMALL ? 1 : list.threads)
  {
    void* at[ARRAYS];
    // Four at a time, as they differ in size; who finds none left begins with the large ones.
    #pragma omp for schedule(dynamic, 4) nowait
    for (int64_t t = 0; t < list.count; t++) {
      if (list.size[t] > SMALL) continue;
      list.find(t, at);
      (alone<P>(list, std::get<std::vector<typename P::Key>>(keys), t, at, totals.data()), ...);
    }
    for (int64_t t = 0; t < list.count; t++) {
      if (list.size[t] <= SMALL) continue;
      list.find(t, at);
      bool backwards = true;
      (together<P>(list, std::get<std::vector<typename P::Key>>(keys), t, at, parts.data(), totals.data(),
                   backwards = !backwards),
       ...);
    }
  }
  if (!Last::TOTAL) return;
  std::fill(list.totals, list.totals + Last::GIVES, 0.0);
  for (int64_t i = 0; i < list.count * Last::GIVES; i++) list.totals[i % Last::GIVES] += totals[i];
}
