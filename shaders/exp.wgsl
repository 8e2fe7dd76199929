// The one exponential that every backend computes, step by step in float32, and the gates made of it.
// The definition is engine/backends/reference/exp.ts; coefficients: Cephes expf (S. Moshier).

fn exponential(x: f32) -> f32 {
  let limited = min(max(x, -87.0), 87.0);
  let n = round(limited * 1.4426950408889634f);
  let r = (limited - rounded(n * 0.693359375f)) - rounded(n * -2.1219444e-4f);
  var p = 1.98756915e-4f;
  p = rounded(p * r) + 1.3981999507e-3f;
  p = rounded(p * r) + 8.3334519073e-3f;
  p = rounded(p * r) + 4.1665795894e-2f;
  p = rounded(p * r) + 1.6666665459e-1f;
  p = rounded(p * r) + 5.0000001201e-1f;
  let e = rounded(rounded(p * rounded(r * r)) + r) + 1.0;
  return e * bitcast<f32>(u32(i32(n) + 127) << 23u);
}

fn sigmoid(x: f32) -> f32 {
  return divide(1.0, 1.0 + exponential(-x));
}

fn silu(x: f32) -> f32 {
  return x * sigmoid(x);
}

// f = lb + (1 - lb) * sigmoid(forget); a lower bound of 0 is none.
fn forget_gate(forget: f32, lower_bound: f32) -> f32 {
  return lower_bound + rounded((1.0 - lower_bound) * sigmoid(forget));
}

// c = silu(i) * (1 - f)
fn candidate(input: f32, f: f32) -> f32 {
  return rounded(silu(input) * (1.0 - f));
}

// h = f * h + c
fn next_state(f: f32, state: f32, c: f32) -> f32 {
  return rounded(f * state) + c;
}
