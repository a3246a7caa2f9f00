//! What llama.cpp calls the tensors of a model, and how it orders their rows.
//!
//! Its converter turns the rows of queries and keys of Llamas: it stands the two that turn together side by side, where
//! everybody else has halves. The tensors of all experts of a layer are one.

use r1x_weights::WeightFiles;

use crate::layout::Parameter;
use crate::published::names::{EMBEDDING, HEAD, Place};

/// The frequencies of Llama 3's rotary positions, as numbers that each is divided by.
pub const ROPE_FREQS: &str = "rope_freqs.weight";

/// Tensors outside of layers: this program's name, and the name in a file.
const OUTSIDE: &[(&str, &str)] = &[
    (EMBEDDING, "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    (HEAD, "output.weight"),
];

/// Tensors of a layer, but for `.weight` and `.bias` behind them.
const IN_LAYERS: &[(&str, &str)] = &[
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("mlp.shared_experts.gate_proj", "ffn_gate_shexp"),
    ("mlp.shared_experts.up_proj", "ffn_up_shexp"),
    ("mlp.shared_experts.down_proj", "ffn_down_shexp"),
];

/// The names of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GgufNames {
    /// Query heads and key/value heads whose rows stand in pairs; `None` where they stand in halves.
    pub paired: Option<[usize; 2]>,
}

/// A name of this program, taken apart.
struct Parts<'n> {
    layer: &'n str,
    expert: Option<usize>,
    /// The name in the layer, without the number of an expert.
    stem: &'n str,
    /// `weight` or `bias`.
    ending: &'n str,
}

impl<'n> Parts<'n> {
    fn of(name: &'n str) -> Option<Self> {
        let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (stem, ending) = rest.rsplit_once('.')?;
        let Some(of_expert) = stem.strip_prefix("mlp.experts.") else {
            return Some(Self { layer, expert: None, stem, ending });
        };
        let (expert, stem) = of_expert.split_once('.')?;
        Some(Self { layer, expert: Some(expert.parse().ok()?), stem, ending })
    }

    /// The name of the tensor, which is one of all experts.
    fn name(&self) -> Option<String> {
        let Self { layer, stem, ending, .. } = self;
        let theirs = match self.expert {
            Some(_) => format!("ffn_{}_exps", stem.strip_suffix("_proj")?),
            None => IN_LAYERS.iter().find(|(ours, _)| ours == stem)?.1.to_owned(),
        };
        Some(format!("blk.{layer}.{theirs}.{ending}"))
    }

    /// The name of an expert's tensor as older files have it, which do not stack them.
    fn apart(&self) -> Option<String> {
        let Self { layer, stem, ending, .. } = self;
        let projection = stem.strip_suffix("_proj")?;
        Some(format!("blk.{layer}.ffn_{projection}.{}.{ending}", self.expert?))
    }
}

impl GgufNames {
    /// The name that the tensor should have; that of this program where no file has such a tensor.
    pub fn name(&self, ours: &str) -> String {
        let outside = OUTSIDE.iter().find(|(name, _)| *name == ours);
        let theirs = outside.map(|(_, theirs)| (*theirs).to_owned());
        let in_layer = || Parts::of(ours).and_then(|parts| parts.name());
        theirs.or_else(in_layer).unwrap_or_else(|| ours.to_owned())
    }

    /// Where a tensor is in a file, whatever its shape there; `None` where it is not.
    pub fn find(&self, files: &WeightFiles, parameter: &Parameter) -> Option<Place> {
        let name = self.name(&parameter.name);
        let parts = Parts::of(&parameter.name);
        let expert = parts.as_ref().and_then(|parts| parts.expert);
        if files.get(&name).is_none() {
            let apart = parts?.apart()?;
            return files.get(&apart).map(|_| Place::whole(apart));
        }
        let rows = expert.and_then(|expert| {
            let rows = *parameter.shape.first()?;
            Some(expert * rows..(expert + 1) * rows)
        });
        let paired_heads = self.paired.and_then(|[queries, keys]| match parts?.stem {
            "self_attn.q_proj" => Some(queries),
            "self_attn.k_proj" => Some(keys),
            _ => None,
        });
        Some(Place { name, rows, paired_heads })
    }

    /// Whether a tensor is a constant that is computed here.
    pub fn is_constant(&self, name: &str) -> bool {
        name == ROPE_FREQS || name.ends_with(".attn_rot_embd.weight")
    }
}

/// Puts the rows of each head, of which those that turn together stand side by side, into halves: row 2i of a head of
/// width w becomes row i, and row 2i + 1 becomes row i + w/2.
pub fn into_halves(values: &mut [f32], rows: usize, heads: usize) {
    let (width, columns) = (rows / heads, values.len() / rows);
    let mut paired = vec![0.0; width * columns];
    for head in values.chunks_exact_mut(width * columns) {
        paired.copy_from_slice(head);
        for (row, from) in paired.chunks_exact(columns).enumerate() {
            let to = (row / 2 + row % 2 * (width / 2)) * columns;
            head[to..to + columns].copy_from_slice(from);
        }
    }
}
