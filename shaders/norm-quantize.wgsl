// Prefill: of each of T tokens, an optional RMSNorm (HAS_NORM), then for each of PLANES matrices its own RMSNorm and the
// absmax quantisation. One workgroup a token.

@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>; // [T, WORDS * 16]
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>; // [K]; anything without HAS_NORM
@group(0) @binding(4) var<storage, read> in_norms: array<vec4<f32>>; // [PLANES, WORDS * 16]
@group(0) @binding(5) var<storage, read_write> activations: array<vec4<u32>>; // [PLANES, CAPACITY, WORDS] int8 in ternary order
@group(0) @binding(6) var<storage, read_write> token_scales: array<vec2<u32>>; // [PLANES, CAPACITY] bits of s, sum of q

var<workgroup> sums: array<atomic<i32>, PLANES>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = group.x;
  if (lane < PLANES) {
    atomicStore(&sums[lane], 0);
  }
  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let word = lane + i * WORKGROUP_SIZE;
    if (word < WORDS) {
      for (var n = 0u; n < 4u; n++) {
        values[4u * i + n] = input[token * WORDS * 4u + float_index(word, n)];
      }
    }
  }
  if (HAS_NORM) {
    let norm_inverse_rms = inverse_rms_of(&values, MODEL_EPSILON, lane);
    for (var i = 0u; i < ITEMS; i++) {
      let word = lane + i * WORKGROUP_SIZE;
      if (word < WORDS) {
        for (var n = 0u; n < 4u; n++) {
          values[4u * i + n] = values[4u * i + n] * norm_inverse_rms * norm[float_index(word, n)];
        }
      }
    }
  }
  var linear_inverse_rms = 1.0;
  if (HAS_LINEAR_NORM) {
    linear_inverse_rms = inverse_rms_of(&values, BITLINEAR_EPSILON, lane);
  }
  for (var plane = 0u; plane < PLANES; plane++) {
    var y: Values;
    var absmax = 0.0;
    for (var i = 0u; i < ITEMS; i++) {
      let word = lane + i * WORKGROUP_SIZE;
      if (word < WORDS) {
        for (var n = 0u; n < 4u; n++) {
          y[4u * i + n] = values[4u * i + n] * linear_inverse_rms * in_norms[plane * WORDS * 4u + float_index(word, n)];
          absmax = max(absmax, absmax_of(y[4u * i + n]));
        }
      }
    }
    let scale = activation_scale(workgroup_max(vec4<f32>(absmax), lane).x);
    var sum = 0;
    for (var i = 0u; i < ITEMS; i++) {
      let word = lane + i * WORKGROUP_SIZE;
      if (word < WORDS) {
        let q = vec4<u32>(quantize4(y[4u * i], scale), quantize4(y[4u * i + 1u], scale),
          quantize4(y[4u * i + 2u], scale), quantize4(y[4u * i + 3u], scale));
        activations[(plane * CAPACITY + token) * WORDS + word] = q;
        sum += word_sum(q);
      }
    }
    atomicAdd(&sums[plane], sum);
    workgroupBarrier();
    if (lane == 0u) {
      token_scales[plane * CAPACITY + token] = vec2<u32>(bitcast<u32>(scale), bitcast<u32>(atomicLoad(&sums[plane])));
    }
  }
}
