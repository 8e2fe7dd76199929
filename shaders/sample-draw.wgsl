// Choice of the next token with everything a sampler knows but logit biases, in the order of engine/sampling/sampler.ts:
// penalties, then the likeliest token at temperature 0, else temperature, top-k, top-p, min-p and a draw. One workgroup.
// Drawn with the Gumbel-max trick: the largest of logit / temperature + noise, the noise a hash of seed, position and token, so
// that a seed gives the same text again. top-k and top-p end at a token, which is found by two histograms, each of 256 bins, and by
// ranking what is left in a bin. Notes the token for the next step, for the CPU and for the penalties to come; NO_NUMBER when a
// logit is none, ASK_CPU when more equal tokens stand at that end than fit in workgroup memory.

struct Sampling {
  temperature: f32,
  // 0: off.
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

@group(0) @binding(5) var<storage, read_write> counts: array<u32>; // [V] how often each token stands in the window
@group(0) @binding(6) var<storage, read_write> history: array<u32>; // [WINDOW] the window as a ring

const NO_NUMBER: u32 = 0xffffffffu;
const ASK_CPU: u32 = 0xfffffffeu;
const VECTORS: u32 = (V + 3u) / 4u;
const CAPACITY: u32 = 1024u;
const BINS: u32 = 256u;
// Tokens this many nats below the best one have no measurable probability.
const NEGLIGIBLE_NATS: f32 = 40.0;
// Probability masses are summed as whole numbers, in any order: the best token's is this, all tokens' together below 2^32.
const MASS_ONE: f32 = f32(0x7fffffffu / V);

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> pool: array<Candidate, CAPACITY>;
var<workgroup> pool_amounts: array<u32, CAPACITY>;
var<workgroup> pool_count: atomic<u32>;
var<workgroup> not_numbers: atomic<u32>;
// The bin where a wanted amount is reached, and the amount before it.
var<workgroup> reached_bin: u32;
var<workgroup> reached_before: u32;
var<workgroup> reached_token: Candidate;
var<workgroup> total_mass: atomic<u32>;

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

// How far below the best, in bins of the first histogram.
fn distance(value: f32, best: f32) -> f32 {
  return (best - value) / sampling.temperature * (f32(BINS) / NEGLIGIBLE_NATS);
}

// What a token adds: 1 of a count, or its probability.
fn amount_of(value: f32, best: f32, is_mass: bool) -> u32 {
  if (!is_mass) {
    return 1u;
  }
  return u32(exp((value - best) / sampling.temperature) * MASS_ONE + 0.5);
}

// Adds the tokens that are better than `end`, or it, into bins; level 0: all of them; 1: those in bin `first_bin`, into its parts.
fn fill_bins(level: u32, first_bin: u32, best: f32, end: Candidate, is_mass: bool, lane: u32) {
  workgroupBarrier();
  for (var bin = lane; bin < BINS; bin += WORKGROUP_SIZE) {
    atomicStore(&bins[bin], 0u);
  }
  workgroupBarrier();
  for (var i = lane; i < VECTORS; i += WORKGROUP_SIZE) {
    let values = penalised(i);
    for (var n = 0u; n < 4u; n++) {
      let candidate = Candidate(values[n], 4u * i + n);
      let at = distance(candidate.value, best);
      if (candidate.token < V && at < f32(BINS) && !better(end, candidate)) {
        if (level == 0u) {
          atomicAdd(&bins[u32(at)], amount_of(candidate.value, best, is_mass));
        } else if (u32(at) == first_bin) {
          atomicAdd(&bins[part_of(at)], amount_of(candidate.value, best, is_mass));
        }
      }
    }
  }
  workgroupBarrier();
}

fn part_of(at: f32) -> u32 {
  return min(u32(fract(at) * f32(BINS)), BINS - 1u);
}

// The bin at which the sum of the bins, from `before` on, reaches `wanted`; the last that holds anything when it never does.
fn find_bin(before: u32, wanted: u32, lane: u32) -> u32 {
  if (lane == 0u) {
    var sum = before;
    reached_bin = 0u;
    reached_before = before;
    for (var bin = 0u; bin < BINS; bin++) {
      let amount = atomicLoad(&bins[bin]);
      if (amount > 0u) {
        reached_bin = bin;
        reached_before = sum;
      }
      sum += amount;
      if (sum >= wanted) {
        break;
      }
    }
  }
  return workgroupUniformLoad(&reached_bin);
}

// The token at which the sum of what tokens add, the best first, reaches `wanted`, of those up to `end`. Its token is ASK_CPU when
// too many are alike.
fn token_at(wanted: u32, best: f32, end: Candidate, is_mass: bool, lane: u32) -> Candidate {
  fill_bins(0u, 0u, best, end, is_mass, lane);
  let bin = find_bin(0u, wanted, lane);
  let before_bin = workgroupUniformLoad(&reached_before);
  fill_bins(1u, bin, best, end, is_mass, lane);
  let part = find_bin(before_bin, wanted, lane);
  let before_part = workgroupUniformLoad(&reached_before);
  if (lane == 0u) {
    atomicStore(&pool_count, 0u);
    reached_token = Candidate(0.0, NONE);
  }
  workgroupBarrier();
  for (var i = lane; i < VECTORS; i += WORKGROUP_SIZE) {
    let values = penalised(i);
    for (var n = 0u; n < 4u; n++) {
      let candidate = Candidate(values[n], 4u * i + n);
      let at = distance(candidate.value, best);
      if (candidate.token < V && at < f32(BINS) && !better(end, candidate) && u32(at) == bin && part_of(at) == part) {
        let slot = atomicAdd(&pool_count, 1u);
        if (slot < CAPACITY) {
          pool[slot] = candidate;
          pool_amounts[slot] = amount_of(candidate.value, best, is_mass);
        }
      }
    }
  }
  let count = workgroupUniformLoad(&pool_count);
  if (count > CAPACITY) {
    return Candidate(0.0, ASK_CPU);
  }
  for (var i = lane; i < count; i += WORKGROUP_SIZE) {
    var before = before_part;
    var is_last = true;
    for (var other = 0u; other < count; other++) {
      if (other != i) {
        let is_better = better(pool[other], pool[i]);
        before += select(0u, pool_amounts[other], is_better);
        is_last = is_last && is_better;
      }
    }
    // The first that reaches it, or the very last.
    if (before < wanted && (before + pool_amounts[i] >= wanted || is_last)) {
      reached_token = pool[i];
    }
  }
  let reached = workgroupUniformLoad(&reached_token);
  return Candidate(reached.value, select(reached.token, ASK_CPU, reached.token == NONE));
}

fn mass_up_to(end: Candidate, best: f32, lane: u32) -> u32 {
  if (lane == 0u) {
    atomicStore(&total_mass, 0u);
  }
  workgroupBarrier();
  var mass = 0u;
  for (var i = lane; i < VECTORS; i += WORKGROUP_SIZE) {
    let values = penalised(i);
    for (var n = 0u; n < 4u; n++) {
      let candidate = Candidate(values[n], 4u * i + n);
      if (candidate.token < V && !better(end, candidate) && distance(candidate.value, best) < f32(BINS)) {
        mass += amount_of(candidate.value, best, true);
      }
    }
  }
  atomicAdd(&total_mass, mass);
  return workgroupUniformLoad(&total_mass);
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

// The token that is chosen; the same control flow in all lanes.
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

  // The last token that may be drawn.
  var end = Candidate(best.value - NEGLIGIBLE_NATS * sampling.temperature, V);
  if (sampling.top_k > 0u && sampling.top_k < V) {
    end = token_at(sampling.top_k, best.value, end, false, lane);
  }
  if (sampling.top_p < 1.0 && end.token != ASK_CPU) {
    let mass = f32(mass_up_to(end, best.value, lane));
    end = token_at(max(1u, u32(ceil(sampling.top_p * mass))), best.value, end, true, lane);
  }
  if (end.token == ASK_CPU) {
    return ASK_CPU;
  }
  let least = select(end.value, max(end.value, best.value + log(sampling.min_p) * sampling.temperature),
    sampling.min_p > 0.0);

  var winner = Candidate(0.0, NONE);
  for (var i = lane; i < VECTORS; i += WORKGROUP_SIZE) {
    let values = penalised(i);
    for (var n = 0u; n < 4u; n++) {
      let candidate = Candidate(values[n], 4u * i + n);
      if (candidate.token < V && candidate.value >= least && !better(end, candidate)) {
        let drawn = noisy(candidate.value, candidate.token);
        if (better(drawn, winner)) {
          winner = drawn;
        }
      }
    }
  }
  return best_of_workgroup(winner, lane).token;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
  if (lane == 0u) {
    atomicStore(&not_numbers, 0u);
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
