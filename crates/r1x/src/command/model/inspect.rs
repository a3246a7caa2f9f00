//! `r1x model inspect`: what a published model is.
//!
//! Must not compute anything with it.

use std::path::Path;

use r1x_core::PortError;
use r1x_core::parameters::ParameterList;
use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, ModelPlan, Precision, RopeScaling, TokenizerPlan,
};
use r1x_core::shown;
use r1x_model::Published;
use r1x_model::published::Stored;
use r1x_model::published::texts::{CHAT_TEMPLATE, Texts, Tokens};
use serde_json::{Value, json};

use crate::display::{Fields, Page};
use crate::failure::Failure;
use crate::number::number;
use crate::output::{self, Stream};
use crate::table;

/// Fields of a plan that no published model has.
const OURS: [&str; 5] = ["tokenizer", "precision", "recompute_activations", "init_std", "mtp"];

/// What is known of a model.
struct Facts {
    published: Published,
    plan: ModelPlan,
    parameters: ParameterList,
    stored: Option<Stored>,
    mtp_layers: usize,
    texts: Result<Texts, String>,
    tokens: Option<Tokens>,
}

/// Prints what is known of a model without computing anything with it.
///
/// # Errors
/// When it is none, or its weights are not those of its configuration.
pub fn inspect(path: &Path, json: bool) -> Result<i32, Failure> {
    let published = Published::open(path).map_err(PortError::from)?;
    let tokenizer = TokenizerPlan::Vocabulary { pieces: Vec::new() };
    let plan = published.plan(tokenizer, Precision::F32);
    let stored = published.stored().map_err(PortError::from)?;
    // Without weights it is what the configuration says.
    let mtp_layers = stored.as_ref().map_or(Ok(published.mtp_layers), |_| published.stored_mtp());
    let mtp_layers = mtp_layers.map_err(PortError::from)?;
    // A tokenizer that cannot be read is a fact as well.
    let texts = published.texts().map_err(|error| error.to_string());
    let tokens = texts.as_ref().ok().and_then(Texts::tokens);
    let parameters = ParameterList::new(&plan);
    let facts = Facts { published, plan, parameters, stored, mtp_layers, texts, tokens };
    if json {
        output::json(&facts.object(path).to_string());
    } else {
        output::page(Stream::Out, &facts.page(path));
    }
    Ok(0)
}

impl Facts {
    fn object(&self, path: &Path) -> Value {
        let mut shape = serde_json::to_value(&self.plan).unwrap_or_default();
        if let Some(map) = shape.as_object_mut() {
            OURS.iter().for_each(|key| drop(map.remove(*key)));
        }
        let family = self.published.family;
        let stored = self.stored.as_ref().map(|stored| {
            let types = stored.types.iter().map(|one| {
                let (name, tensors) = (one.name, one.tensors);
                json!({"type": name, "tensors": tensors, "numbers": one.numbers, "bytes": one.bytes})
            });
            let types: Vec<Value> = types.collect();
            json!({"format": stored.format, "bytes": stored.bytes(), "types": types})
        });
        let texts = self.texts.as_ref().ok();
        let named = |id: u32| json!({"id": id, "token": self.tokens.as_ref().and_then(|tokens| tokens.get(&id))});
        let ids = texts.map(|texts| &texts.ids);
        json!({
            "path": path.display().to_string(),
            "family": family.model_type,
            "class": self.published.class(),
            "shape": shape,
            "mtp_layers": self.mtp_layers,
            "parameters": {
                "total": self.parameters.total(),
                "active": self.parameters.active(),
                "untrained": self.parameters.untrained(),
            },
            "weights": stored,
            "tokenizer": {
                "tokens": self.tokens.as_ref().map(Tokens::len),
                "bos": ids.and_then(|ids| ids.bos).map(named),
                "eos": ids.map(|ids| ids.eos.iter().copied().map(named).collect::<Vec<_>>()),
                "pad": ids.and_then(|ids| ids.pad).map(named),
                "chat_template": texts.is_some_and(|texts| texts.file(CHAT_TEMPLATE).is_some()),
                "error": self.texts.as_ref().err(),
            },
        })
    }

    fn page(&self, path: &Path) -> Page {
        let (plan, family) = (&self.plan, self.published.family);
        let (total, active) = (self.parameters.total(), self.parameters.active());
        let parameters = match total == active {
            true => table::count(total),
            false => {
                format!("{}, of which a token uses {}", table::count(total), table::count(active))
            }
        };
        let tied = if plan.tie_embeddings { ", tied" } else { "" };
        let rows = [
            ("model", path.display().to_string()),
            ("family", format!("{} ({})", family.model_type, self.published.class())),
            ("parameters", parameters),
            ("layers", format!("{} of width {}", plan.layers, plan.hidden_size)),
            ("attention", attention(&plan.attention)),
            ("feed-forward", feed_forward(&plan.feed_forward)),
            ("positions", positions(plan)),
            ("context", format!("{} tokens", table::count(plan.context_length as u64))),
            ("vocabulary", format!("{}{tied}", table::count(plan.vocabulary_size as u64))),
            ("weights", self.stored.as_ref().map_or("-".to_owned(), weights)),
            ("tokenizer", self.tokenizer()),
            ("ends with", self.ends()),
        ];
        let mut fields = Fields::default();
        let mtp = ("mtp layers", self.mtp_layers.to_string());
        for (name, value) in rows.into_iter().chain(Some(mtp).filter(|_| self.mtp_layers > 0)) {
            // A line break in a name would begin a line like those of r1x.
            fields.add(name, shown::line(&value));
        }
        let mut page = Page::default();
        page.fields(fields);
        page
    }

    fn tokenizer(&self) -> String {
        let texts = match &self.texts {
            Ok(texts) => texts,
            Err(error) => return format!("none that can be read: {error}"),
        };
        let tokens = self.tokens.as_ref().map(|tokens| table::count(tokens.len() as u64));
        let tokens = tokens.map_or("-".to_owned(), |count| format!("{count} tokens"));
        let has_template = texts.file(CHAT_TEMPLATE).is_some();
        if has_template { format!("{tokens}, with a chat template") } else { tokens }
    }

    fn ends(&self) -> String {
        let ids = self.texts.as_ref().map(|texts| &texts.ids.eos[..]).unwrap_or_default();
        let named = |id: &u32| match self.tokens.as_ref().and_then(|tokens| tokens.get(id)) {
            Some(token) => format!("{id} {token}"),
            None => id.to_string(),
        };
        let all: Vec<String> = ids.iter().map(named).collect();
        if all.is_empty() { "-".to_owned() } else { all.join(", ") }
    }
}

/// The attention of a plan in words.
pub(in crate::command) fn attention(plan: &AttentionPlan) -> String {
    match plan {
        AttentionPlan::Gqa(gqa) => {
            let window = gqa.window.as_ref().map_or(String::new(), |window| {
                format!(", {} positions in {} layers", window.size, window.layers.len())
            });
            let (heads, width, shared) = (gqa.heads, gqa.head_dim, gqa.kv_heads);
            format!("{heads} heads of {width}, {shared} for keys and values{window}")
        }
        AttentionPlan::Mla(mla) => {
            let (heads, latent) = (mla.heads, mla.kv_lora_rank);
            let width = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
            format!("{heads} heads of {width}, a latent of {latent} for keys and values")
        }
    }
}

/// The feed-forward of a plan in words.
pub(in crate::command) fn feed_forward(plan: &FeedForwardPlan) -> String {
    match plan {
        FeedForwardPlan::Dense { intermediate_size, .. } => {
            format!("SwiGLU of {intermediate_size}")
        }
        FeedForwardPlan::Moe(moe) => {
            let (experts, inner) = (moe.routed_experts, moe.expert_intermediate_size);
            let shared = match moe.shared_intermediate_size {
                0 => String::new(),
                shared => format!(", shared ones of {shared}"),
            };
            let dense = match moe.dense_layers.len() {
                0 => String::new(),
                layers => format!(", {layers} dense layers of {}", moe.dense_intermediate_size),
            };
            format!(
                "{experts} experts of {inner}, {} a token{shared}{dense}",
                moe.experts_per_token
            )
        }
    }
}

/// The rotary positions of a plan in words.
pub(in crate::command) fn positions(plan: &ModelPlan) -> String {
    let theta = number(plan.rope.theta);
    match &plan.rope.scaling {
        RopeScaling::None => format!("base {theta}"),
        RopeScaling::Linear { factor } => format!("base {theta}, divided by {}", number(*factor)),
        RopeScaling::Llama3 { factor, original_context, .. } => {
            format!("base {theta}, Llama 3's {} from {original_context} tokens", number(*factor))
        }
        RopeScaling::Yarn(yarn) => {
            let (factor, context) = (number(yarn.factor), yarn.original_context);
            format!("base {theta}, YaRN's {factor} from {context} tokens")
        }
    }
}

fn weights(stored: &Stored) -> String {
    let types = stored.types.iter().map(|one| format!("{} {}", one.tensors, one.name));
    let types: Vec<String> = types.collect();
    let bytes = table::bytes(stored.bytes());
    format!("{}, {bytes} in tensors: {}", stored.format, types.join(", "))
}
