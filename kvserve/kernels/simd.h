// Vectors of VEC floats for the instruction set this translation unit is compiled for.
#ifndef KVSERVE_SIMD_H
#define KVSERVE_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE float half_to_float(uint16_t half) {
#if defined(__aarch64__)
    __fp16 value;
    memcpy(&value, &half, 2);
    return (float)value;
#else
    // exponent moved up by 112; subnormals become normal by the subtraction
    uint32_t bits = (uint32_t)(half & 0x7FFF) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    union { uint32_t u; float f; } value = {bits + (112u << 23)}, offset = {113u << 23};
    if ((half & 0x7C00) == 0x7C00) value.u += 112u << 23;
    else if (!(half & 0x7C00)) value.u += 1u << 23, value.f -= offset.f;
    value.u |= sign;
    return value.f;
#endif
}

#if defined(PA_USE_AVX512) || defined(PA_USE_AVX2)
#include <immintrin.h>
INLINE __m128 fold4(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}
#endif

// e^x for x <= 0 by 2^n * p(r), relative error 2e-7; below -87: 0.
#define LOG2E 1.44269504088896341f
#define LN2_HIGH 0.693359375f
#define LN2_LOW (-2.12194440e-4f)

#if defined(PA_USE_AVX512)
#define VEC 16
typedef __m512 vf;
INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
INLINE vf v_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
INLINE vf v_bytes(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
INLINE vf v_set(float x) { return _mm512_set1_ps(x); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE float v_peak(vf a) { return _mm512_reduce_max_ps(a); }
INLINE float v_sum(vf a) { return _mm512_reduce_add_ps(a); }
INLINE vf v_only(vf a, uint32_t bits) {
    return _mm512_mask_blend_ps((__mmask16)bits, _mm512_set1_ps(-INFINITY), a);
}
INLINE __m256 v_fold(vf a) {
    return _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
}
INLINE void v_sum4(vf a, vf b, vf c, vf d, float *out) {
    _mm_storeu_ps(out, fold4(v_fold(a), v_fold(b), v_fold(c), v_fold(d)));
}
INLINE vf v_scale2(vf p, vf n) { return _mm512_scalef_ps(p, n); }
INLINE vf v_round(vf a) { return _mm512_roundscale_ps(a, 8); }
INLINE vf v_zero_below(vf p, vf x, float limit) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_GE_OQ), p);
}

#elif defined(PA_USE_AVX2)
#define VEC 8
typedef __m256 vf;
INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
INLINE vf v_half(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
INLINE vf v_bytes(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
INLINE vf v_set(float x) { return _mm256_set1_ps(x); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE float v_peak(vf a) {
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}
INLINE float v_sum(vf a) {
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}
INLINE vf v_only(vf a, uint32_t bits) {
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i hit = _mm256_and_si256(_mm256_set1_epi32((int)(bits & 255)), lanes);
    return _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), a,
                            _mm256_castsi256_ps(_mm256_cmpeq_epi32(hit, lanes)));
}
INLINE void v_sum4(vf a, vf b, vf c, vf d, float *out) { _mm_storeu_ps(out, fold4(a, b, c, d)); }
INLINE vf v_scale2(vf p, vf n) {
    __m256i e = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(e));
}
INLINE vf v_round(vf a) { return _mm256_round_ps(a, 8); }
INLINE vf v_zero_below(vf p, vf x, float limit) {
    return _mm256_and_ps(p, _mm256_cmp_ps(x, _mm256_set1_ps(limit), _CMP_GE_OQ));
}

#else  // the compiler's own vectors of four: SSE2, NEON or plain code
#define VEC 4
typedef float vf __attribute__((vector_size(16)));
INLINE vf v_load(const float *p) { vf a; memcpy(&a, p, 16); return a; }
INLINE void v_store(float *p, vf a) { memcpy(p, &a, 16); }
INLINE vf v_half(const uint16_t *p) {
    return (vf){half_to_float(p[0]), half_to_float(p[1]), half_to_float(p[2]), half_to_float(p[3])};
}
INLINE vf v_bytes(const int8_t *p) { return (vf){p[0], p[1], p[2], p[3]}; }
INLINE vf v_set(float x) { return (vf){x, x, x, x}; }
INLINE vf v_fma(vf a, vf b, vf c) { return a * b + c; }
INLINE float f_max(float a, float b) { return a > b ? a : b; }
INLINE vf v_max(vf a, vf b) {
    return (vf){f_max(a[0], b[0]), f_max(a[1], b[1]), f_max(a[2], b[2]), f_max(a[3], b[3])};
}
INLINE float v_peak(vf a) { return f_max(f_max(a[0], a[1]), f_max(a[2], a[3])); }
INLINE float v_sum(vf a) { return (a[0] + a[1]) + (a[2] + a[3]); }
INLINE vf v_only(vf a, uint32_t bits) {
    for (int i = 0; i < 4; i++) if (!(bits >> i & 1)) a[i] = -INFINITY;
    return a;
}
INLINE void v_sum4(vf a, vf b, vf c, vf d, float *out) {
    v_store(out, (vf){v_sum(a), v_sum(b), v_sum(c), v_sum(d)});
}
#endif

#if VEC == 4
INLINE vf v_exp(vf x) { return (vf){expf(x[0]), expf(x[1]), expf(x[2]), expf(x[3])}; }
#else
INLINE vf v_exp(vf x) {
    vf safe = v_max(x, v_set(-88.0f)), n = v_round(safe * v_set(LOG2E));
    vf r = v_fma(n, v_set(-LN2_LOW), v_fma(n, v_set(-LN2_HIGH), safe));
    vf p = v_set(1.9875691500e-4f);  // Cephes expf
    p = v_fma(p, r, v_set(1.3981999507e-3f));
    p = v_fma(p, r, v_set(8.3334519073e-3f));
    p = v_fma(p, r, v_set(4.1665795894e-2f));
    p = v_fma(p, r, v_set(1.6666665459e-1f));
    p = v_fma(p, r, v_set(5.0000001201e-1f));
    p = v_fma(p, r * r, r + v_set(1.0f));
    return v_zero_below(v_scale2(p, n), x, -87.0f);
}
#endif

#endif
