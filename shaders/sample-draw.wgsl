// Choice of the next token with everything a sampler knows but logit biases, in the order of engine/sampling/sampler.ts:
// penalties, then the likeliest token at temperature 0, else temperature, top-k, top-p, min-p and a draw. One workgroup.
// Drawn with the Gumbel-max trick: the largest of logit / temperature + noise, the noise a hash of seed, position and token, so
// that a seed gives the same text again. Notes the token for the next step, for the host and for the penalties to come;
// NO_NUMBER when a logit is none, ASK_HOST when more tokens are left to choose from than fit in workgroup memory.

struct Sampling {
  temperature: f32,
  // 0: off. At most WORKGROUP_SIZE.
  top_k: u32,
  // 1: off.
  top_p: f32,
  // 0: off.
  min_p: f32,
  // 1, 0, 0: off.
  repetition_penalty: f32,
  presence_penalty: f32,
  frequency_penalty: f32,
  // Tokens that penalties look back at; 0: all. At most WINDOW.
  window: u32,
  // Tokens noted before position 0.
  history_length: u32,
  seed: u32,
  // Random numbers drawn before position 0.
  drawn: u32,
  unused: u32,
}
@group(0) @binding(0) var<uniform> sampling: Sampling; // one request's options

struct Step {
  position: u32,
  token: u32,
}
@group(0) @binding(2) var<storage, read> logits: array<vec4<f32>>; // [V], padded
@group(0) @binding(3) var<storage, read_write> step: Step;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>; // [RING]
@group(0) @binding(5) var<storage, read_write> counts: array<u32>; // [V] how often each token stands in the window
@group(0) @binding(6) var<storage, read_write> history: array<u32>; // [WINDOW] the window as a ring

struct Candidate {
  value: f32,
  token: u32,
}
const NONE: u32 = 0xffffffffu;
const NO_NUMBER: u32 = 0xffffffffu;
const ASK_HOST: u32 = 0xfffffffeu;
const VECTORS: u32 = (V + 3u) / 4u;
const CAPACITY: u32 = 1024u;
// Tokens this many nats below the best one have no measurable probability.
const NEGLIGIBLE_NATS: f32 = 40.0;

var<workgroup> candidates: array<Candidate, WORKGROUP_SIZE>;
var<workgroup> masses: array<f32, WORKGROUP_SIZE>;
var<workgroup> pool: array<Candidate, CAPACITY>;
var<workgroup> weights: array<f32, CAPACITY>;
var<workgroup> pool_count: atomic<u32>;
var<workgroup> not_numbers: atomic<u32>;
var<workgroup> lane_threshold: f32;

fn better(a: Candidate, b: Candidate) -> bool {
  return b.token == NONE || (a.token != NONE && (a.value > b.value || (a.value == b.value && a.token < b.token)));
}

// The bits say it: a compiler may take it that there are no such numbers.
fn is_no_number(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) >= 0x7f800000u;
}

// Four logits after penalties; tokens beyond the vocabulary are the caller's to leave out.
fn penalised(vector: u32) -> vec4<f32> {
  var values = logits[vector];
  if (sampling.repetition_penalty != 1.0 || sampling.presence_penalty != 0.0 || sampling.frequency_penalty != 0.0) {
    for (var n = 0u; n < 4u; n++) {
      let count = counts[min(4u * vector + n, V - 1u)];
      if (count > 0u) {
        let scaled = select(values[n] * sampling.repetition_penalty, values[n] / sampling.repetition_penalty,
          values[n] > 0.0);
        values[n] = scaled - sampling.presence_penalty - sampling.frequency_penalty * f32(count);
      }
    }
  }
  return values;
}

fn best_of_workgroup(mine: Candidate, lane: u32) -> Candidate {
  workgroupBarrier();
  candidates[lane] = mine;
  for (var width = WORKGROUP_SIZE / 2u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width && better(candidates[lane + width], candidates[lane])) {
      candidates[lane] = candidates[lane + width];
    }
  }
  return workgroupUniformLoad(&candidates[0]);
}

fn mass_of_workgroup(mine: f32, lane: u32) -> f32 {
  workgroupBarrier();
  masses[lane] = mine;
  for (var width = WORKGROUP_SIZE / 2u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width) {
      masses[lane] += masses[lane + width];
    }
  }
  return workgroupUniformLoad(&masses[0]);
}

// Sum of exp((logit - best) / temperature) of the tokens from `threshold` up.
fn mass_from(threshold: f32, best: f32, lane: u32) -> f32 {
  var mass = 0.0;
  for (var i = lane; i < VECTORS; i += WORKGROUP_SIZE) {
    let values = penalised(i);
    for (var n = 0u; n < 4u; n++) {
      if (4u * i + n < V && values[n] >= threshold) {
        mass += exp((values[n] - best) / sampling.temperature);
      }
    }
  }
  return mass_of_workgroup(mass, lane);
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

// The token that is chosen, in lane 0; the same control flow in all lanes.
fn choose(lane: u32) -> u32 {
  var mine = Candidate(0.0, NONE);
  for (var i = lane; i < VECTORS; i += WORKGROUP_SIZE) {
    let values = penalised(i);
    for (var n = 0u; n < 4u; n++) {
      let candidate = Candidate(values[n], 4u * i + n);
      if (candidate.token < V) {
        if (is_no_number(candidate.value)) {
          atomicAdd(&not_numbers, 1u);
        }
        if (better(candidate, mine)) {
          mine = candidate;
        }
      }
    }
  }
  let best = best_of_workgroup(mine, lane);
  if (workgroupUniformLoad(&not_numbers) > 0u) {
    return NO_NUMBER;
  }
  if (sampling.temperature == 0.0) {
    return best.token;
  }

  // min-p, and what is too unlikely to matter.
  var least = best.value - NEGLIGIBLE_NATS * sampling.temperature;
  if (sampling.min_p > 0.0) {
    least = max(least, best.value + log(sampling.min_p) * sampling.temperature);
  }
  var threshold = least;
  let is_pooled = sampling.top_k > 0u || sampling.top_p < 1.0;
  var wanted_mass = 0.0;
  if (sampling.top_k > 0u) {
    // The top_k-th best of the lanes' best: at least top_k logits are not below it.
    workgroupBarrier();
    candidates[lane] = mine;
    workgroupBarrier();
    var rank = 0u;
    for (var i = 0u; i < WORKGROUP_SIZE; i++) {
      rank += select(0u, 1u, i != lane && better(candidates[i], mine));
    }
    if (rank + 1u == sampling.top_k && mine.token != NONE) {
      lane_threshold = mine.value;
    }
    threshold = max(threshold, workgroupUniformLoad(&lane_threshold));
  } else if (sampling.top_p < 1.0) {
    wanted_mass = sampling.top_p * mass_from(best.value - NEGLIGIBLE_NATS * sampling.temperature, best.value, lane);
    for (var nats = 2.0; nats < NEGLIGIBLE_NATS; nats *= 2.0) {
      let higher = best.value - nats * sampling.temperature;
      if (higher <= least) {
        break;
      }
      if (mass_from(higher, best.value, lane) >= wanted_mass) {
        threshold = higher;
        break;
      }
    }
  }

  var winner = Candidate(0.0, NONE);
  if (!is_pooled) {
    for (var i = lane; i < VECTORS; i += WORKGROUP_SIZE) {
      let values = penalised(i);
      for (var n = 0u; n < 4u; n++) {
        if (4u * i + n < V && values[n] >= threshold) {
          let drawn = noisy(values[n], 4u * i + n);
          if (better(drawn, winner)) {
            winner = drawn;
          }
        }
      }
    }
    return best_of_workgroup(winner, lane).token;
  }

  for (var i = lane; i < VECTORS; i += WORKGROUP_SIZE) {
    let values = penalised(i);
    for (var n = 0u; n < 4u; n++) {
      if (4u * i + n < V && values[n] >= threshold) {
        let at = atomicAdd(&pool_count, 1u);
        if (at < CAPACITY) {
          pool[at] = Candidate(values[n], 4u * i + n);
          weights[at] = exp((values[n] - best.value) / sampling.temperature);
        }
      }
    }
  }
  let count = workgroupUniformLoad(&pool_count);
  if (count > CAPACITY) {
    return ASK_HOST;
  }
  if (sampling.top_k > 0u) {
    // top-p counts on from what top-k leaves.
    var mass = 0.0;
    for (var i = lane; i < count; i += WORKGROUP_SIZE) {
      var rank = 0u;
      for (var other = 0u; other < count; other++) {
        rank += select(0u, 1u, other != i && better(pool[other], pool[i]));
      }
      mass += select(0.0, weights[i], rank < sampling.top_k);
    }
    wanted_mass = sampling.top_p * mass_of_workgroup(mass, lane);
  }
  for (var i = lane; i < count; i += WORKGROUP_SIZE) {
    let candidate = pool[i];
    var rank = 0u;
    // The pool's order is another every time, so the sum is taken in fixed point.
    var parts_before = 0u;
    for (var other = 0u; other < count; other++) {
      if (other != i && better(pool[other], candidate)) {
        rank += 1u;
        parts_before += u32(weights[other] * 0x1p20f + 0.5);
      }
    }
    let mass_before = f32(parts_before) * 0x1p-20f;
    let is_kept = rank == 0u || ((sampling.top_k == 0u || rank < sampling.top_k)
      && (sampling.top_p >= 1.0 || mass_before < wanted_mass) && candidate.value >= least);
    if (is_kept) {
      let drawn = noisy(candidate.value, candidate.token);
      if (better(drawn, winner)) {
        winner = drawn;
      }
    }
  }
  return best_of_workgroup(winner, lane).token;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
  if (lane == 0u) {
    atomicStore(&pool_count, 0u);
    atomicStore(&not_numbers, 0u);
    lane_threshold = -0x1.fffffep+127f;
  }
  workgroupBarrier();
  let token = choose(lane);
  if (lane == 0u) {
    chosen[step.position % RING] = token;
    if (token < V) {
      counts[token] += 1u;
      if (sampling.window > 0u) {
        let noted = sampling.history_length + step.position;
        if (noted >= sampling.window) {
          counts[history[noted % sampling.window]] -= 1u;
        }
        history[noted % sampling.window] = token;
      }
    }
    // Whatever follows a token that is none is never looked at.
    step.token = min(token, V - 1u);
    step.position += 1u;
  }
}
