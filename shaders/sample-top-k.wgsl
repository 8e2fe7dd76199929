// Random choice of the next token: softmax at a temperature, over the top_k largest logits (0: over all). One workgroup.
// Drawn with the Gumbel-max trick: the largest of logit / temperature + noise, the noise a hash of seed, position and token,
// so that a seed gives the same text again. Notes the token for the next step and for the host; 0xffffffff when no logit
// is a number. top_k is at most WORKGROUP_SIZE. Not here: top-p, min-p and penalties.

struct Sampling {
  temperature: f32,
  top_k: u32,
  seed: u32,
  // Random numbers drawn before position 0.
  drawn: u32,
}
@group(0) @binding(0) var<uniform> sampling: Sampling; // one request's options

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
const LOWEST: f32 = -0x1.fffffep+127f;
const CAPACITY: u32 = 1024u;

var<workgroup> best_of_lanes: array<Candidate, WORKGROUP_SIZE>;
var<workgroup> pool: array<Candidate, CAPACITY>;
var<workgroup> pool_count: atomic<u32>;
var<workgroup> threshold: f32;

fn better(a: Candidate, b: Candidate) -> bool {
  return b.token == NONE || (a.token != NONE && (a.value > b.value || (a.value == b.value && a.token < b.token)));
}

// Two rounds of a 32-bit permutation (PCG, M. O'Neill; output RXS-M-XS).
fn hash(x: u32) -> u32 {
  let state = x * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn noisy(logit: f32, token: u32) -> Candidate {
  let bits = hash(hash(sampling.seed ^ hash(sampling.drawn + step.position)) ^ token);
  // In (0, 1): never an end.
  let uniform_number = (f32(bits >> 9u) + 0.5) * 0x1p-23f;
  return Candidate(logit / sampling.temperature - log(-log(uniform_number)), token);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
  let vectors = (V + 3u) / 4u;
  if (lane == 0u) {
    atomicStore(&pool_count, 0u);
    threshold = LOWEST;
  }
  workgroupBarrier();
  if (sampling.top_k > 0u) {
    // The top_k-th best of the lanes' best: at least top_k logits are not below it.
    var best = Candidate(0.0, NONE);
    for (var i = lane; i < vectors; i += WORKGROUP_SIZE) {
      let values = logits[i];
      for (var n = 0u; n < 4u; n++) {
        let candidate = Candidate(values[n], 4u * i + n);
        if (candidate.token < V && values[n] == values[n] && better(candidate, best)) {
          best = candidate;
        }
      }
    }
    best_of_lanes[lane] = best;
    workgroupBarrier();
    var rank = 0u;
    for (var i = 0u; i < WORKGROUP_SIZE; i++) {
      rank += select(0u, 1u, better(best_of_lanes[i], best) && i != lane);
    }
    if (rank + 1u == sampling.top_k && best.token != NONE) {
      threshold = best.value;
    }
    workgroupBarrier();
    for (var i = lane; i < vectors; i += WORKGROUP_SIZE) {
      let values = logits[i];
      for (var n = 0u; n < 4u; n++) {
        if (4u * i + n < V && values[n] >= threshold) {
          let at = atomicAdd(&pool_count, 1u);
          if (at < CAPACITY) {
            pool[at] = Candidate(values[n], 4u * i + n);
          }
        }
      }
    }
  }
  workgroupBarrier();
  let count = atomicLoad(&pool_count);

  var winner = Candidate(0.0, NONE);
  if (sampling.top_k > 0u && count <= CAPACITY) {
    for (var i = lane; i < count; i += WORKGROUP_SIZE) {
      let candidate = pool[i];
      var rank = 0u;
      for (var other = 0u; other < count; other++) {
        rank += select(0u, 1u, other != i && better(pool[other], candidate));
      }
      if (rank < sampling.top_k) {
        let drawn = noisy(candidate.value, candidate.token);
        if (better(drawn, winner)) {
          winner = drawn;
        }
      }
    }
  } else {
    // All, or more than a thousand equal ones: everything from the threshold up.
    for (var i = lane; i < vectors; i += WORKGROUP_SIZE) {
      let values = logits[i];
      for (var n = 0u; n < 4u; n++) {
        if (4u * i + n < V && values[n] >= threshold) {
          let drawn = noisy(values[n], 4u * i + n);
          if (better(drawn, winner)) {
            winner = drawn;
          }
        }
      }
    }
  }
  best_of_lanes[lane] = winner;
  for (var width = WORKGROUP_SIZE / 2u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width && better(best_of_lanes[lane + width], best_of_lanes[lane])) {
      best_of_lanes[lane] = best_of_lanes[lane + width];
    }
  }
  if (lane == 0u) {
    let token = best_of_lanes[0].token;
    chosen[step.position % RING] = token;
    step.token = token;
    step.position += 1u;
  }
}
