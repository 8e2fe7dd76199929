// What the choices of a token share: its logits, where the chosen one goes, and which of two candidates is better.

struct Step {
  position: u32,
  token: u32,
}
@group(0) @binding(2) var<storage, read> logits: array<vec4<f32>>; // [V], padded
@group(0) @binding(3) var<storage, read_write> step: Step;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>; // [RING]

struct Candidate {
  value: f32,
  token: u32,
}
const NONE: u32 = 0xffffffffu;
var<workgroup> candidates: array<Candidate, WORKGROUP_SIZE>;

// The larger; of equal ones the first.
fn better(a: Candidate, b: Candidate) -> bool {
  return b.token == NONE || (a.token != NONE && (a.value > b.value || (a.value == b.value && a.token < b.token)));
}
