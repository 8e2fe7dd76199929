// Which part of a matrix a dispatch works on: rows of one buffer, and the scales of its planes.

struct Dispatch {
  // Rows of the matrix before this buffer's first, and rows in this buffer.
  first_row: u32,
  row_count: u32,
  layer: u32,
  unused: u32,
  // absmean, one a plane; multiplies.
  weight_scales: vec4<f32>,
}
@group(0) @binding(0) var<uniform> dispatch: Dispatch; // rows and scales of this buffer
