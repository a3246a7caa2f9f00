//! The commands, one file each.

pub mod cache;
pub mod chat;
pub mod check;
pub mod compare;
pub mod diff;
pub mod doctor;
pub mod export;
pub mod generate;
pub mod grep;
pub mod import_spec;
pub mod info;
pub mod ls;
pub mod model;
pub mod plan;
pub mod plot;
pub mod plugin;
pub mod replay;
pub mod reproduce;
pub mod rescore;
pub mod resume;
pub mod run;
pub mod show;
pub mod sql;
pub mod sweep;
