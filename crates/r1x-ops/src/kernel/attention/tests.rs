//! Attention against plain f64 sums and finite differences; shared blocks, runs and single rows bit for bit.

use half::bf16;

use super::*;

fn shapes() -> [(&'static str, Heads); 5] {
    let gqa = Heads {
        heads: 4,
        kv_heads: 2,
        key_width: 6,
        value_width: 6,
        row_width: 24,
        value_offset: 12,
        scale: 0.4,
        window: usize::MAX,
    };
    let mla = Heads {
        heads: 3,
        kv_heads: 1,
        key_width: 11,
        value_width: 7,
        row_width: 11,
        value_offset: 0,
        scale: 0.3,
        window: usize::MAX,
    };
    let wide = Heads { key_width: 64, value_width: 64, row_width: 256, value_offset: 128, ..gqa };
    let (near, far) = (Heads { window: 5, ..gqa }, Heads { window: 50, ..wide });
    [("gqa", gqa), ("mla", mla), ("wide", wide), ("window", near), ("wide window", far)]
}

fn values(count: usize, seed: u32) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 23) - 1.0
        })
        .collect()
}

fn operands<E: Operand>(count: usize, seed: u32) -> Vec<E> {
    values(count, seed).into_iter().map(|v| E::round(E::Real::from_f64(v))).collect()
}

/// A prompt and samples of it, as rows of a pass: the prompt's rows first.
struct Sequences {
    /// Pass rows by position, per sequence.
    rows: Vec<Vec<u32>>,
    prompt: usize,
    count: usize,
}

impl Sequences {
    fn new(prompt: usize, own: &[usize]) -> Self {
        let mut count = prompt;
        let rows = own
            .iter()
            .map(|own| {
                let rows = (0..prompt).chain(count..count + own).map(|r| r as u32).collect();
                count += own;
                rows
            })
            .collect();
        Self { rows, prompt, count }
    }

    fn segments(&self) -> Vec<Segment<'_>> {
        let prompt = Segment { rows: &self.rows[0][..self.prompt], first: 0 };
        let own = self.rows.iter().map(|rows| Segment { rows, first: self.prompt });
        [prompt].into_iter().chain(own).collect()
    }

    /// Blocks of every sequence, sharing those the prompt fills; contexts of all rows.
    fn cache<E: Operand>(&self, shape: &Heads, rows: &[E]) -> (Vec<Context>, Vec<u32>, Vec<E>) {
        let len = block_len::<E>(shape);
        let whole = self.prompt / BLOCK;
        let mut tables = Vec::new();
        let mut blocks = whole as u32;
        let mut contexts = vec![Context { table: 0, len: 0 }; self.count];
        let mut cache = vec![E::default(); len * whole];
        for sequence in
            [&self.rows[0][..self.prompt]].into_iter().chain(self.rows.iter().map(|r| &r[..]))
        {
            let table = tables.len();
            let own = (sequence.len().div_ceil(BLOCK) - whole) as u32;
            tables.extend((0..whole as u32).chain(blocks..blocks + own));
            blocks += own;
            cache.resize(len * blocks as usize, E::default());
            for (position, row) in sequence.iter().enumerate() {
                contexts[*row as usize] = Context { table, len: position + 1 };
                let block = tables[table + position / BLOCK] as usize;
                let row = &rows[*row as usize * shape.row_width..][..shape.row_width];
                write_row(shape, row, &mut cache[block * len..][..len], position % BLOCK);
            }
        }
        // The prompt's rows belong to its own table again.
        for (position, row) in self.rows[0][..self.prompt].iter().enumerate() {
            contexts[*row as usize] = Context { table: 0, len: position + 1 };
        }
        (contexts, tables, cache)
    }
}

/// Outputs by the definition, in f64.
fn plain(shape: &Heads, sequences: &Sequences, q: &[f64], rows: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; sequences.count * shape.heads * shape.value_width];
    for segment in sequences.segments() {
        for position in segment.first..segment.rows.len() {
            let t = segment.rows[position] as usize;
            for head in 0..shape.heads {
                let kv = head / shape.group();
                let q = &q[(t * shape.heads + head) * shape.key_width..][..shape.key_width];
                let row = |p: usize| {
                    &rows[segment.rows[p] as usize * shape.row_width..][..shape.row_width]
                };
                let score = |p: usize| {
                    let key = shape.key(row(p), kv);
                    (q.iter().zip(key).map(|(a, b)| a * b).sum::<f64>() * shape.scale).exp()
                };
                // A window of W positions: those after position − W.
                let first = (position + 1).saturating_sub(shape.window);
                let scores: Vec<f64> = (first..=position).map(score).collect();
                let sum: f64 = scores.iter().sum();
                for (p, score) in (first..).zip(&scores) {
                    let value = shape.value(row(p), kv);
                    let out = &mut out[(t * shape.heads + head) * shape.value_width..];
                    for (out, value) in out.iter_mut().zip(value) {
                        *out += score / sum * value;
                    }
                }
            }
        }
    }
    out
}

fn computed<E: Operand>(shape: &Heads, sequences: &Sequences, q: &[E], rows: &[E]) -> Vec<E> {
    let (contexts, tables, cache) = sequences.cache(shape, rows);
    let mut out = vec![E::default(); sequences.count * shape.heads * shape.value_width];
    attention(shape, &contexts, &tables, q, &cache, &mut out, &mut Scratch::default());
    out
}

fn cases() -> [Sequences; 4] {
    [
        Sequences::new(1, &[3]),
        Sequences::new(40, &[30, 1, 77]),
        Sequences::new(64, &[5, 5]),
        Sequences::new(7, &[130]),
    ]
}

#[test]
fn outputs_are_the_definition() {
    for (name, shape) in shapes() {
        for sequences in cases() {
            let q = values(sequences.count * shape.heads * shape.key_width, 1);
            let rows = values(sequences.count * shape.row_width, 2);
            let expected = plain(&shape, &sequences, &q, &rows);
            for (found, expected) in
                computed::<f64>(&shape, &sequences, &q, &rows).iter().zip(&expected)
            {
                assert!((found - expected).abs() < 1e-12, "{name}: {found} against {expected}");
            }
            let narrow = |v: &[f64]| v.iter().map(|v| bf16::round(*v as f32)).collect::<Vec<_>>();
            let found = computed::<bf16>(&shape, &sequences, &narrow(&q), &narrow(&rows));
            for (found, expected) in found.iter().zip(&expected) {
                let found = f64::from(found.widen());
                assert!((found - expected).abs() < 0.03, "{name} bf16: {found} against {expected}");
            }
        }
    }
}

#[test]
fn a_row_is_the_same_alone_and_in_any_company() {
    alone_or_together::<f32>();
    alone_or_together::<bf16>();
}

fn alone_or_together<E: Operand>() {
    for (name, shape) in shapes() {
        for sequences in cases() {
            let q_row = shape.heads * shape.key_width;
            let out_row = shape.heads * shape.value_width;
            let q = operands::<E>(sequences.count * q_row, 3);
            let rows = operands::<E>(sequences.count * shape.row_width, 4);
            let (contexts, tables, cache) = sequences.cache(&shape, &rows);
            let mut scratch = Scratch::default();
            let together = computed::<E>(&shape, &sequences, &q, &rows);
            for (t, context) in contexts.iter().enumerate() {
                let mut out = vec![E::default(); out_row];
                let q = &q[t * q_row..][..q_row];
                attention(&shape, &[*context], &tables, q, &cache, &mut out, &mut scratch);
                assert_eq!(out, together[t * out_row..][..out_row], "{name} {} row {t}", E::NAME);
            }
            // The last row of every sequence, as a group decodes.
            let last: Vec<usize> =
                sequences.rows.iter().map(|rows| *rows.last().unwrap() as usize).collect();
            let q: Vec<E> = last.iter().flat_map(|t| q[t * q_row..][..q_row].to_vec()).collect();
            let contexts: Vec<Context> = last.iter().map(|t| contexts[*t]).collect();
            let mut out = vec![E::default(); last.len() * out_row];
            attention(&shape, &contexts, &tables, &q, &cache, &mut out, &mut scratch);
            for (found, t) in out.chunks(out_row).zip(&last) {
                assert_eq!(found, &together[t * out_row..][..out_row], "{name} {} group", E::NAME);
            }
        }
    }
}

fn gradients<E: Operand>(
    shape: &Heads,
    sequences: &Sequences,
    (q, rows, dout): (&[E], &[E], &[E]),
) -> (Vec<E::Real>, Vec<E::Real>) {
    let (mut dq, mut drows) = (vec![E::Real::ZERO; q.len()], vec![E::Real::ZERO; rows.len()]);
    let segments = sequences.segments();
    let scratch = &mut Scratch::default();
    attention_backward(shape, &segments, (q, &mut dq), (rows, &mut drows), dout, scratch);
    (dq, drows)
}

#[test]
fn gradients_are_finite_differences() {
    for (name, shape) in shapes() {
        for sequences in cases() {
            let q = values(sequences.count * shape.heads * shape.key_width, 5);
            let rows = values(sequences.count * shape.row_width, 6);
            let dout = values(sequences.count * shape.heads * shape.value_width, 7);
            let (dq, drows) = gradients::<f64>(&shape, &sequences, (&q, &rows, &dout));
            let loss = |q: &[f64], rows: &[f64]| -> f64 {
                plain(&shape, &sequences, q, rows).iter().zip(&dout).map(|(o, d)| o * d).sum()
            };
            let check = |values: &[f64], found: &[f64], loss: &dyn Fn(&[f64]) -> f64| {
                for index in (0..values.len()).step_by(values.len() / 11 + 1) {
                    let (mut up, mut down) = (values.to_vec(), values.to_vec());
                    up[index] += 1e-5;
                    down[index] -= 1e-5;
                    let numeric = (loss(&up) - loss(&down)) / 2e-5;
                    let error = (found[index] - numeric).abs();
                    assert!(error < 1e-7, "{name}[{index}]: {} against {numeric}", found[index]);
                }
            };
            check(&q, &dq, &|q| loss(q, &rows));
            check(&rows, &drows, &|rows| loss(&q, rows));
            let narrow = |v: &[f64]| v.iter().map(|v| bf16::round(*v as f32)).collect::<Vec<_>>();
            let (q, rows, dout) = (narrow(&q), narrow(&rows), narrow(&dout));
            let (dq_narrow, drows_narrow) =
                gradients::<bf16>(&shape, &sequences, (&q, &rows, &dout));
            for (narrow, wide) in [(dq_narrow, dq), (drows_narrow, drows)] {
                let largest = wide.iter().fold(0.0f64, |m, g| m.max(g.abs()));
                for (a, b) in narrow.iter().zip(&wide) {
                    assert!(
                        (f64::from(*a) - b).abs() < 0.03 * largest,
                        "{name} bf16: {a} against {b}"
                    );
                }
            }
        }
    }
}
