"""The two decoupled representations: content (CCRL) and emotion (CERL), and the networks beneath them."""
