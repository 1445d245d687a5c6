// Declares <nng/supplemental/util/idhash.h>.

typedef struct nng_id_map_s nng_id_map; // since 1.7.1

#define NNG_MAP_RANDOM ... // since 1.7.1

int nng_id_map_alloc(nng_id_map **, uint64_t, uint64_t, int); // since 1.7.1
void nng_id_map_free(nng_id_map *); // since 1.7.1
void *nng_id_get(nng_id_map *, uint64_t); // since 1.7.1
int nng_id_set(nng_id_map *, uint64_t, void *); // since 1.7.1
int nng_id_alloc(nng_id_map *, uint64_t *, void *); // since 1.7.1
int nng_id_remove(nng_id_map *, uint64_t); // since 1.7.1
bool nng_id_visit(nng_id_map *, uint64_t *, void **, uint32_t *); // since 1.9.0
