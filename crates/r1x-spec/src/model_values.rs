//! The kinds of single values that only a model has: its words, and some of its layers.

use serde::Serialize;
use serde_json::json;

use r1x_core::plan::{GroupScore, HeadPlan, LoraScaling, LoraTarget, QkNorm, RopePairs, Scoring};

use crate::codes;
use crate::node::{Node, Value};
use crate::read::{At, Reader, Term, words};
use crate::schema_tree::{Range, Shape};
use crate::value_types::number_schema;

words!(RopePairs {
    "halves" => Halves, "element i and element i + width / 2, as in Llama and Qwen";
    "neighbours" => Neighbours, "elements 2i and 2i + 1, as in DeepSeek";
});
words!(HeadPlan {
    "vocabulary" => Vocabulary, "a logit for each token, so that it writes";
    "value" => Value, "one number, so that it judges and cannot write";
});
words!(QkNorm {
    "none" => None, "there are none";
    "head" => Head, "of every head, with one gain for all of them (Qwen3)";
    "whole" => Whole, "of all heads of a token together, before they are split (OLMoE)";
});
words!(LoraScaling {
    "rank" => Rank, "the rank";
    "root_of_rank" => RootOfRank, "the root of the rank (rsLoRA, arXiv 2312.03732)";
});
words!(LoraTarget {
    "q_proj" => Query, "to queries";
    "k_proj" => Key, "to keys (`gqa`)";
    "v_proj" => Value, "to values (`gqa`)";
    "q_a_proj" => QueryDown, "to the latent of the queries (`mla` with `q_lora_rank`)";
    "q_b_proj" => QueryUp, "from the latent of the queries (`mla` with `q_lora_rank`)";
    "kv_a_proj_with_mqa" => ContextDown, "to the latent of keys and values (`mla`)";
    "o_proj" => Output, "from what the heads attended to";
    "gate_proj" => Gate, "the gate of a dense feed-forward or of the shared experts";
    "up_proj" => Up, "what that gate multiplies";
    "down_proj" => Down, "from the inner width of a dense feed-forward or of the shared experts";
    "experts.gate_proj" => ExpertGate, "the gate of every routed expert";
    "experts.up_proj" => ExpertUp, "what the gate of every routed expert multiplies";
    "experts.down_proj" => ExpertDown, "from the inner width of every routed expert";
});
words!(Scoring {
    "sigmoid" => Sigmoid, "the sigmoid of each (DeepSeek-V3)";
    "softmax" => Softmax, "the softmax over all experts";
});
words!(GroupScore {
    "top_two" => TopTwo, "the sum of a group's two largest scores (DeepSeek-V3)";
    "largest" => Largest, "its largest score (DeepSeek-V2)";
});

/// Some layers of a model: so many from the first on, or those of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerChoice {
    /// So many.
    Leading(usize),
    /// The numbers of the layers, from 0.
    Listed(Vec<At<usize>>),
}

impl LayerChoice {
    /// Whether no layer is chosen.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Leading(count) => *count == 0,
            Self::Listed(all) => all.is_empty(),
        }
    }

    /// The numbers of the layers in ascending order.
    pub fn layers(&self) -> Vec<usize> {
        match self {
            Self::Leading(count) => (0..*count).collect(),
            Self::Listed(all) => {
                let mut layers: Vec<usize> = all.iter().map(|layer| layer.value).collect();
                layers.sort_unstable();
                layers
            }
        }
    }
}

impl Serialize for LayerChoice {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Leading(count) => count.serialize(serializer),
            Self::Listed(all) => serializer.collect_seq(all.iter().map(|layer| layer.value)),
        }
    }
}

impl Term for LayerChoice {
    fn shape(range: Range) -> Shape {
        let number = number_schema("integer", range);
        let list = json!({ "type": "array", "items": number });
        Shape::Value(json!({ "anyOf": [number, list] }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let Value::List(_) = &node.value else {
            if !matches!(node.value, Value::Int(_) | Value::Float(_)) {
                reader.expected(node, "a number of layers, or a list of layers");
                return None;
            }
            return usize::read(node, range, reader).map(Self::Leading);
        };
        let all = Vec::<At<usize>>::read(node, range, reader)?;
        for (position, layer) in all.iter().enumerate() {
            if all[..position].iter().any(|earlier| earlier.value == layer.value) {
                let message = format!("{} names the layer {} twice", reader.name(), layer.value);
                reader.error(codes::COUNTS, layer.span, message);
                return None;
            }
        }
        Some(Self::Listed(all))
    }
}
