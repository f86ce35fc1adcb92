#!/usr/bin/perl -w
# Installed and kept alike on all servers by snow-ha. It needs perl-base only, which every Debian has, since Python starts too slowly
# for what runs while a domain is away. For the same reason a part is compiled when one of its functions is called first.
package main;
use strict;

our ($AUTOLOAD, %PART);    # package => text of a part that is not compiled yet

# In place of a function of such a part (perlsub(1), Autoloading): its arguments, $@, $! and the caller's matches stay as they are.
sub compile_and_call {
    my $function = $AUTOLOAD;
    compile(substr $function, 0, rindex $function, '::');
    goto &{ \&$function };
}

sub compile {
    my ($package) = @_;
    my $text = delete $PART{$package} // die "$package has no such function\n";
    local ($@, $!);
    no strict 'refs';
    delete ${"${package}::"}{AUTOLOAD};
    return if eval "$text; 1";
    print STDERR $@;
    exit 1;
}

sub later {
    my ($package, $text) = @_;
    $PART{$package} = $text;
    no strict 'refs';
    *{"${package}::AUTOLOAD"} = \&compile_and_call;
    return;
}

CHECK { if ($^C) { compile($_) for sort keys %PART } }    # perl -c
