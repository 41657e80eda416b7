# The documents are true on a server that has preloaded the library, with launcher and
# workers at work: see test/perl/DocsTest.pm.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use DocsTest;
use Test::More;

my $node = docs_server('docs_preloaded', "shared_preload_libraries = 'leadscore'\n");

run_documents();

$node->stop;
done_testing();
