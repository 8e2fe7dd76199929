// Greedy choice of the next token without penalties: the largest logit, of equal ones the first. One workgroup. Notes the token for the next
// step and for the CPU; 0xffffffff when no logit is a number.

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
  var best = Candidate(0.0, NONE);
  for (var i = lane; i < (V + 3u) / 4u; i += WORKGROUP_SIZE) {
    let values = logits[i];
    for (var n = 0u; n < 4u; n++) {
      let token = 4u * i + n;
      if (token < V && values[n] == values[n] && (best.token == NONE || values[n] > best.value)) {
        best = Candidate(values[n], token);
      }
    }
  }
  candidates[lane] = best;
  for (var width = WORKGROUP_SIZE / 2u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width && better(candidates[lane + width], candidates[lane])) {
      candidates[lane] = candidates[lane + width];
    }
  }
  if (lane == 0u) {
    let token = candidates[0].token;
    chosen[step.position % RING] = token;
    step.token = token;
    step.position += 1u;
  }
}
