-- Schema 5: components are kept compressed. A component with an interpreter in it takes 20 MB and more, and every
-- edit of a reward gives a new one.
--
-- Rows of schema 4 and before hold the component as it is, and say so.

PRAGMA user_version = 5;

ALTER TABLE plugin ADD COLUMN packing TEXT NOT NULL DEFAULT 'none' CHECK (packing IN ('none', 'zstd')); -- of `wasm`; `bytes` is its length unpacked
