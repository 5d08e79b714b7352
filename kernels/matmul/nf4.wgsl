// nf4: the 16 values of a code, scaled quantiles of the normal distribution (QLoRA, Dettmers et al. 2023)

// Four codes at once. A tree of choices: faster than a table, which compilers put into memory.
fn nf4_values(codes: vec4u) -> vec4f {
  let b0 = (codes & vec4u(1u)) != vec4u();
  let b1 = (codes & vec4u(2u)) != vec4u();
  let b2 = (codes & vec4u(4u)) != vec4u();
  let b3 = (codes & vec4u(8u)) != vec4u();
  let v0 = select(vec4f(-1.0), vec4f(-0.6961928009986877), b0);
  let v2 = select(vec4f(-0.5250730514526367), vec4f(-0.39491748809814453), b0);
  let v4 = select(vec4f(-0.28444138169288635), vec4f(-0.18477343022823334), b0);
  let v6 = select(vec4f(-0.09105003625154495), vec4f(), b0);
  let v8 = select(vec4f(0.07958029955625534), vec4f(0.16093020141124725), b0);
  let v10 = select(vec4f(0.24611230194568634), vec4f(0.33791524171829224), b0);
  let v12 = select(vec4f(0.44070982933044434), vec4f(0.5626170039176941), b0);
  let v14 = select(vec4f(0.7229568362236023), vec4f(1.0), b0);
  let low = select(select(v0, v2, b1), select(v4, v6, b1), b2);
  let high = select(select(v8, v10, b1), select(v12, v14, b1), b2);
  return select(low, high, b3);
}
