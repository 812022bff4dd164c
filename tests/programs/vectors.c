// Arithmetic on arrays that compilers turn into vector instructions, and what they seldom choose by themselves, written out.
// Every line is a checksum, so a guest and its host can be compared.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#if defined(__SSE4_2__) || defined(__AVX__)
#include <immintrin.h>
#endif

#define COUNT 1024
static uint8_t bytes[COUNT], other[COUNT];
static int16_t words[COUNT];
static int32_t ints[COUNT], places[COUNT];
static int64_t longs[COUNT];
static float singles[COUNT], more[COUNT];
static double doubles[COUNT];

static uint64_t state = 0x9e3779b97f4a7c15u;
static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}
static void fill(void) {
  for (int i = 0; i < COUNT; i++) {
    bytes[i] = next();
    other[i] = next();
    words[i] = next();
    ints[i] = next();
    longs[i] = next();
    places[i] = next() % COUNT;
    singles[i] = (float)((int32_t)next()) / 65536.0f;
    more[i] = (float)((int16_t)next()) / 256.0f;
    doubles[i] = (double)((int64_t)next()) / 4294967296.0;
  }
}
static void show(const char *name, const void *data, size_t size) {
  const uint8_t *at = data;
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < size; i++) hash = (hash ^ at[i]) * 0x100000001b3u;
  printf("BENCH %s %016llx\n", name, (unsigned long long)hash);
}

static void integers(void) {
  for (int i = 0; i < COUNT; i++) {
    int sum = bytes[i] + other[i];
    bytes[i] = sum > 255 ? 255 : sum;
    other[i] = (bytes[i] + other[i] + 1) >> 1;
  }
  show("saturate", bytes, sizeof bytes);
  show("average", other, sizeof other);
  for (int i = 0; i < COUNT; i++) words[i] = (words[i] * 7919) >> 3;
  show("words", words, sizeof words);
  for (int i = 0; i < COUNT; i++) ints[i] = (ints[i] << (i & 15)) ^ (ints[i] >> (places[i] & 31));
  show("shifts", ints, sizeof ints);
  for (int i = 0; i < COUNT; i++) longs[i] += (int64_t)ints[i] * places[i];
  show("products", longs, sizeof longs);
  int32_t chosen[COUNT];
  for (int i = 0; i < COUNT; i++) chosen[i] = ints[places[i]] > places[i] ? ints[places[i]] : -places[i];
  show("gather", chosen, sizeof chosen);
}
static void floats(void) {
  for (int i = 0; i < COUNT; i++) singles[i] = singles[i] * more[i] + (float)doubles[i];
  show("singles", singles, sizeof singles);
  for (int i = 0; i < COUNT; i++) doubles[i] = doubles[i] * singles[i] - (double)more[places[i]] / (1.0 + (double)(bytes[i]));
  show("doubles", doubles, sizeof doubles);
  for (int i = 0; i < COUNT; i++) ints[i] = (int32_t)(more[i] * 3.25f);
  show("truncate", ints, sizeof ints);
  for (int i = 0; i < COUNT; i++) singles[i] = singles[i] > more[i] ? singles[i] : -more[i];
  show("maximum", singles, sizeof singles);
}
static void written(void) {
#ifdef __SSE4_2__
  __m128i sum = _mm_setzero_si128();
  for (int i = 0; i < COUNT; i += 16) {
    const __m128i a = _mm_loadu_si128((const __m128i *)(bytes + i)), b = _mm_loadu_si128((const __m128i *)(other + i));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_maddubs_epi16(a, b), _mm_set1_epi16(1)));
    sum = _mm_shuffle_epi8(sum, _mm_and_si128(a, _mm_set1_epi8(15)));
    sum = _mm_blend_epi16(sum, _mm_packus_epi32(a, b), 0x5a);
  }
  show("sse4", &sum, sizeof sum);
  uint32_t crc = 0;
  for (int i = 0; i < COUNT; i++) crc = _mm_crc32_u8(crc, bytes[i]);
  show("crc32", &crc, sizeof crc);
#endif
#ifdef __AVX2__
  __m256i wide = _mm256_setzero_si256();
  __m256 numbers = _mm256_setzero_ps();
  for (int i = 0; i < COUNT; i += 32) {
    const __m256i a = _mm256_loadu_si256((const __m256i *)(bytes + i)), b = _mm256_loadu_si256((const __m256i *)(other + i));
    const __m256i where = _mm256_loadu_si256((const __m256i *)(places + i));
    wide = _mm256_add_epi32(wide, _mm256_sad_epu8(a, b));
    wide = _mm256_permutevar8x32_epi32(wide, where);
    wide = _mm256_xor_si256(wide, _mm256_mask_i32gather_epi32(a, ints, where, b, 4));
    wide = _mm256_alignr_epi8(wide, b, 5);
    wide = _mm256_permute4x64_epi64(_mm256_srlv_epi32(wide, _mm256_and_si256(where, _mm256_set1_epi32(31))), 0x1b);
    wide = _mm256_blendv_epi8(wide, _mm256_cvtepu8_epi16(_mm256_extracti128_si256(a, 1)), b);
    numbers = _mm256_fmadd_ps(_mm256_maskload_ps(singles + i, b), _mm256_loadu_ps(more + i), numbers);
    numbers = _mm256_permute2f128_ps(_mm256_round_ps(numbers, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC), numbers, 0x21);
    numbers = _mm256_add_ps(numbers, _mm256_cvtph_ps(_mm256_cvtps_ph(_mm256_loadu_ps(more + i), 0)));
    _mm256_maskstore_epi32(ints + i, a, wide);
  }
  show("avx2", &wide, sizeof wide);
  show("fma", &numbers, sizeof numbers);
  show("maskstore", ints, sizeof ints);
  uint64_t bits = 0;
  for (int i = 0; i < COUNT; i++) bits = _pext_u64(bits ^ longs[i], longs[(i + 1) % COUNT]) + _pdep_u64(longs[i], bits) + _lzcnt_u64(longs[i]) + _blsr_u64(bits);
  show("bmi", &bits, sizeof bits);
#endif
}

int main(void) {
  fill();
  for (int round = 0; round < 3; round++) {
    integers();
    floats();
    written();
  }
  return 0;
}
